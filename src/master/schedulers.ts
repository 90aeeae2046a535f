import type { ConsumerInput } from '../../actors/consumer.js';
import { StatechartView, schedulerMachine, type SchedulerEvent } from '../../actors/scheduler.js';
import { fillResource } from '../../actors/slots.js';
import { createStatechart } from '../../actors/statechart.js';
import type { Catalogue } from '../model/catalogue.js';
import { Deferred } from '../flow/deferred.js';
import type { Timer } from '../model/clock.js';
import { SchedulerLogicError } from '../model/errors.js';
import { brokerError } from '../model/secrets.js';
import type { SchedulerReports } from '../schedule/scheduler.js';
import { SchedulerPump } from '../schedule/scheduler-pump.js';
import type { Consumer, ConsumerHandle } from './consumer.js';
import type { Consumers } from './consumers.js';
import type { MasterContext } from './context.js';
import type { SchedulerPlan } from './scheduling.js';

/** The schedulers of a master: consumers whose handler is a durable statechart. */
export class Schedulers {
  readonly #context: MasterContext;
  readonly #consumers: Consumers;

  constructor(context: MasterContext, consumers: Consumers) {
    this.#context = context;
    this.#consumers = consumers;
  }

  /** Resolves when the queue is declared and bound: standby or active. */
  async start(plan: SchedulerPlan, catalogue: Catalogue | undefined): Promise<ConsumerHandle> {
    const chart = createStatechart(plan.logic);
    // A machine that cannot even begin with this input is the caller's mistake, whoever owns the queue.
    chart.start(plan.input);
    const view = new StatechartView(chart);
    const tell: { scheduler: (event: SchedulerEvent) => void } = { scheduler: () => {} };
    const logic = schedulerMachine.provide({
      actors: {
        consumer: this.#consumers.machine,
        control: fillResource<SchedulerEvent, ConsumerInput>((_, say) => {
          tell.scheduler = say;
          return () => (tell.scheduler = () => {});
        }),
        statechart: view.logic as never,
      },
    });
    const { limits } = this.#context;
    const { input, version, migrate, consumer: wanted } = plan;
    const { queue } = wanted.settings;
    const begun = new Deferred<void>();
    const consumer = await this.#consumers.start(wanted, {
      logic,
      makePump: (consumer) =>
        new SchedulerPump(
          {
            ...{ ...wanted.settings, chart, input, version, migrate, queue },
            clockSkewMs: limits.clockSkewMs,
            source: `signalbox:${limits.namespace}/${limits.name}`,
            rules: {
              maxBytes: limits.maxMessageBytes,
              check: (topic, data) => {
                const reading = catalogue?.read(topic, data);
                if (!(reading instanceof Promise)) return;
                // What it answers changes nothing any more.
                reading.catch(() => {});
                throw answersLater(topic.topic);
              },
            },
          },
          this.#consumers.pumpPorts(catalogue),
          {
            ...this.#consumers.pumpReports(consumer),
            ...this.#reports(consumer),
            moved: (event, snapshot) => {
              view.show(event, snapshot);
              if (event) return;
              begun.resolve();
              tell.scheduler({ type: 'statechart.runs' });
            },
            left: () => {
              view.leave();
              tell.scheduler({ type: 'statechart.left' });
            },
          },
        ),
    });
    if (consumer.status === 'active') await this.#untilLoaded(consumer, begun.promise);
    return consumer;
  }

  /** A state that this machine cannot take up is the caller's to hear of, if this master owns the queue at once. */
  async #untilLoaded(consumer: Consumer, begun: Promise<void>): Promise<void> {
    const { clock, limits } = this.#context;
    let timer: Timer | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, limits.connectTimeoutMs);
    });
    await Promise.race([begun, consumer.ended.promise, patience]);
    clock.clearTimeout(timer);
    if (consumer.status === 'failed') throw consumer.error!;
  }

  #reports(consumer: Consumer): Omit<SchedulerReports, 'moved' | 'left'> {
    const { events } = this.#context;
    const { queue } = consumer;
    const warning = (code: string, text: string) => events.emit('warning', { code, text });
    return {
      setback: (id, topic, attempt, error) =>
        events.emit('failure', { queue, patterns: undefined, id, topic, attempt, error }),
      dropped: (id, topic, error) =>
        warning(
          'SCHEDULER_EVENT_DROPPED',
          `Scheduler "${queue}" does without event "${topic}" (${id}), since its machine throws: ${error.message}`,
        ),
      unsendable: ({ topic }, id, thrown) => {
        const error = brokerError(thrown).message;
        events.emit('dead-letter', { queue, id, reason: 'refused', error });
        warning(
          'EMISSION_REFUSED',
          `The broker refuses message ${id} of scheduler "${queue}" on "${topic}": ${error}`,
        );
      },
      skewed: (byMs) =>
        warning(
          'CLOCK_SKEW',
          `The state of scheduler "${queue}" was saved by a clock ${Math.round(byMs)} ms ahead of this one: its timers are as late.`,
        ),
      unsaved: (error) => this.#consumers.fail(consumer, brokerError(error)),
    };
  }
}

/** A transition is one step: nobody can wait inside of it, and what it emits must be checked before it is saved. */
function answersLater(topic: string): SchedulerLogicError {
  return new SchedulerLogicError(
    `The schema of topic "${topic}" answers later, and a scheduler emits nothing unchecked: give the topic a schema that answers at once.`,
  );
}
