import type { Capabilities, Consumer, ConsumerSink, Delivery, Ownership, Session } from '../backend.js';
import { Fence } from '../flow/fence.js';
import type { DeliveryContext } from '../flow/handler.js';
import type { Environment } from '../model/clock.js';
import { StoppedError } from '../model/errors.js';
import type { Message } from '../model/message.js';
import type { ChartEvent } from '../model/statechart.js';
import { decodeSchedule } from './checkpoint.js';
import { Emitter } from './emitter.js';
import { Occurrences } from './occurrences.js';
import { Pauses } from './pauses.js';
import { SavedDelivery, inputId } from './saved-delivery.js';
import { Saver } from './saver.js';
import { Schedule } from './schedule.js';
import type { SchedulerReports, SchedulerSettings } from './scheduler.js';
import { Work } from './work.js';

/**
 * A scheduler during one ownership: loads what the last save kept, applies inputs one after the other, and has the saver do
 * the rest. To a pump it is a session whose deliveries are acked by saves, and a handler.
 */
export class Run {
  readonly #session: Session;
  readonly #checkpoint: Uint8Array | undefined;
  readonly #settings: SchedulerSettings;
  readonly #environment: Environment;
  readonly #reports: SchedulerReports;
  readonly #fence: Fence;
  readonly #schedule: Schedule;
  readonly #emitter: Emitter;
  readonly #saver: Saver;
  readonly #occurrences: Occurrences;
  readonly #work: Work;
  readonly #pauses: Pauses;
  #deliveries = 0;
  /** What a successor would find is the state as it is. */
  #isAsSaved = false;
  /** Whose call has begun last: the pump makes one at a time. */
  #begun: Received | undefined;
  #flushBy: Promise<void> | undefined;
  #hasEnded = false;

  /** Throws a SchedulerStateError for a `checkpoint` that is not this machine's. */
  constructor(
    session: Session,
    ownership: Ownership,
    checkpoint: Uint8Array | undefined,
    settings: SchedulerSettings,
    environment: Environment,
    reports: SchedulerReports,
  ) {
    this.#session = session;
    this.#checkpoint = checkpoint;
    this.#settings = settings;
    this.#environment = environment;
    this.#reports = reports;
    const { clock } = environment;
    this.#fence = new Fence(ownership, () => this.#occurrences.pulse());
    this.#pauses = new Pauses(clock);
    const schedule = (this.#schedule = this.#load());
    this.#work = new Work(schedule, (invocation, event) =>
      this.#occurrences.answered({ type: 'result', invocation, event }),
    );
    this.#emitter = new Emitter(
      {
        ...{ session, ownership, fence: this.#fence, source: settings.source },
        ...{ pauses: this.#pauses, random: environment.random },
        open: () => schedule.emissionNumbers.ranges(clock.wall()),
        refused: (emission, id, error) => reports.unsendable(emission, id, error),
        hasEnded: () => this.#hasEnded,
      },
      schedule.emissionNumbers.last,
    );
    this.#saver = new Saver({
      ...{ queue: settings.queue, schedule, ownership, clock, version: settings.version },
      ...{ fence: this.#fence, emitter: this.#emitter, pauses: this.#pauses },
      proven: () => {
        this.#work.start();
        // Confirmed emissions make room for what had to wait.
        this.#occurrences.pulse();
      },
      failed: (error) => reports.unsaved(error),
    });
    this.#occurrences = new Occurrences({
      ...{ schedule, environment, policy: settings.retry },
      passes: () => this.#fence.passes(),
      applied: (input) => this.#changed(input.type === 'timer' ? input.timer.event : input.event),
      failed: (id, topic, attempt, error) => reports.setback(id, topic, attempt, error),
      dropped: (id, topic, error) => {
        reports.dropped(id, topic, error);
        this.#saver.changed();
      },
    });
  }

  /** What the last save of this ownership holds, once no other is under way. */
  async saved(): Promise<Uint8Array | undefined> {
    await this.#saver.idle();
    return this.#saver.saved;
  }

  /** Publishes what the former owner has left, before anything else. False if the ownership has ended meanwhile. */
  async recover(): Promise<boolean> {
    const { emissions } = this.#schedule;
    // What begins here was never saved: then nothing may be published.
    if (this.#checkpoint && emissions.length > 0) {
      this.#isAsSaved = false;
      if (!(await this.#emitter.publish(emissions))) return false;
      this.#schedule.published(emissions.at(-1)!.number);
    }
    return !this.#hasEnded;
  }

  /** Timers that are due fire, and what the state invokes is started once it is saved. */
  begin(): void {
    if (this.#hasEnded) return;
    this.#reports.moved(undefined, this.#schedule.snapshot);
    // Before anything is applied, so that nothing counts as saved that is not.
    if (this.#isAsSaved) this.#saver.beginAsSaved();
    else this.#saver.changed();
    this.#occurrences.start();
  }

  /** Nothing is applied any more; what was applied is still saved. */
  halt(): void {
    this.#occurrences.stop();
  }

  /** What was applied is saved and published when the pump gives back the rest, or at the deadline not. */
  finishBy(deadline: Promise<void>): void {
    this.#flushBy = deadline;
  }

  end(reason: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#reports.left();
    this.#occurrences.stop();
    this.#saver.end();
    this.#pauses.end();
    this.#work.end(reason);
  }

  get capabilities(): Capabilities {
    return this.#session.capabilities;
  }

  /** The session as a pump sees it. */
  async consume(
    queue: string,
    options: { readonly prefetch: number; readonly ownership: Ownership | undefined },
    sink: ConsumerSink,
  ): Promise<Consumer> {
    const consumer = await this.#session.consume(queue, options, {
      delivery: (delivery) => this.#receive(delivery, sink),
      lost: (reason) => sink.lost(reason),
    });
    return {
      close: async () => {
        this.halt();
        if (this.#flushBy) await Promise.race([this.#saver.flush(), this.#flushBy]);
        this.end(new StoppedError(`Scheduler "${queue}" has stopped here.`));
        await consumer.close();
      },
    };
  }

  /** The pump's handler. */
  readonly handle = (message: Message, _delivery: DeliveryContext): void => {
    const { delivery, number } = this.#begun!;
    const { envelope, redelivered, redrives } = delivery;
    this.#occurrences.beforeMessage();
    const event = eventOf(message);
    const isNew = this.#schedule.apply(
      {
        type: 'message',
        id: inputId(delivery),
        // An id that a foreign producer gave may be given twice.
        isUnique: envelope.origin !== undefined || redelivered,
        origin: redrives === 0 ? envelope.origin : undefined,
        delivery: number,
        event,
      },
      this.#environment.clock.wall(),
    );
    this.#occurrences.afterMessage();
    if (isNew) this.#changed(event);
  };

  #receive(delivery: Delivery, sink: ConsumerSink): void {
    const number = ++this.#deliveries;
    const { applied } = this.#schedule;
    const id = inputId(delivery);
    applied.received(number);
    // It must not come to a handler call, which would count as an attempt.
    if (delivery.redelivered && applied.has(id)) {
      applied.note(id, number);
      this.#saver.settle(delivery);
      return;
    }
    const received: Received = { delivery, number };
    sink.delivery(
      new SavedDelivery(
        delivery,
        () => (this.#begun = received),
        () => this.#saver.settle(delivery),
      ),
    );
  }

  #changed(event: ChartEvent): void {
    this.#work.stopLeft();
    this.#reports.moved(event, this.#schedule.snapshot);
    this.#saver.changed();
  }

  #load(): Schedule {
    const { chart, input } = this.#settings;
    const now = this.#environment.clock.wall();
    if (!this.#checkpoint) return Schedule.begin(chart, input, this.#settings, now);
    const { schedule, savedAt, isAsSaved } = decodeSchedule(this.#checkpoint, chart, this.#settings);
    this.#isAsSaved = isAsSaved;
    if (savedAt > now + this.#settings.clockSkewMs) this.#reports.skewed(savedAt - now);
    schedule.emissionNumbers.takenOver(now, this.#session.capabilities.lingerMs);
    return schedule;
  }
}

interface Received {
  readonly delivery: Delivery;
  readonly number: number;
}

/** The message as plain data: a machine may keep it, and what it keeps is saved. */
function eventOf(message: Message): ChartEvent {
  const { id, topic, words, key, params, data, time, source, headers } = message;
  const plain = { id, topic, words, key, params, data, time, source, headers };
  return { type: topic, message: plain } as ChartEvent;
}
