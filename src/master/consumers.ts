import type { AnyActorLogic } from 'xstate';
import {
  consumerMachine,
  type ConsumerContext,
  type ConsumerEvent,
  type ConsumerStatus,
} from '../../actors/consumer.js';
import { fillPromise, fillResource } from '../../actors/slots.js';
import type { Ownership } from '../backend.js';
import type { Handler } from '../flow/handler.js';
import { Pump, type DataPlane } from '../flow/pump.js';
import type { PumpPorts, PumpReports } from '../flow/pump-ports.js';
import type { Catalogue } from '../model/catalogue.js';
import { QueueDeletedError, StoppedError } from '../model/errors.js';
import { brokerError } from '../model/secrets.js';
import { Consumer, type ConsumerHandle, type Tell } from './consumer.js';
import { Consuming } from './consuming.js';
import { formerOwner } from './former-owner.js';
import type { MasterContext } from './context.js';
import type { ConsumerPlan } from './options.js';

/** The durable consumers of a master: the slots of their machine, and what they hold outside of it. */
export class Consumers {
  readonly #context: MasterContext;
  readonly #consuming: Consuming;
  readonly #register = new Map<number, Consumer>();
  readonly machine;
  #nextNumber = 1;

  constructor(context: MasterContext) {
    this.#context = context;
    this.#consuming = new Consuming(context);
    const promise = <Output>(work: (consumer: Consumer) => Promise<Output>) =>
      fillPromise<Output, ConsumerContext>((input) => work(this.#register.get(input.number)!));
    const resource = (hold: (consumer: Consumer, tell: Tell) => () => void) =>
      fillResource<ConsumerEvent, ConsumerContext>((input, tell) =>
        hold(this.#register.get(input.number)!, tell),
      );
    this.machine = consumerMachine.provide({
      actors: {
        session: fillPromise<void, ConsumerContext>(async (_, signal) => {
          await context.link.whenUp(signal);
        }),
        declare: promise((consumer) => this.#consuming.declare(consumer)),
        control: resource((consumer, tell) => {
          consumer.tellActor = tell;
          return () => (consumer.tellActor = () => {});
        }),
        claim: resource((consumer, tell) => this.#consuming.claim(consumer, tell)),
        pump: resource((consumer, tell) => this.#consuming.pump(consumer, tell)),
        windDown: promise((consumer) => context.drains.run((deadline) => consumer.pump.quiet(deadline))),
        retreat: promise((consumer) => this.#consuming.retreat(consumer)),
        giveBack: promise((consumer) => context.drains.run((deadline) => consumer.pump.drain(deadline))),
        drain: promise((consumer) =>
          context.drains.run((deadline) => this.#consuming.handOver(consumer, deadline)),
        ),
        forget: promise((consumer) => this.#consuming.forget(consumer)),
      },
      actions: { report: (_, { number, status }) => this.#report(number, status) },
    });
  }

  get all(): readonly Consumer[] {
    return [...this.#register.values()];
  }

  get count(): number {
    return this.#register.size;
  }

  /** Of them, those that handle now. */
  get activeCount(): number {
    let active = 0;
    for (const { status } of this.#register.values()) if (status === 'active') active++;
    return active;
  }

  /** Resolves when the queue is declared and bound: standby or active. */
  consume(plan: ConsumerPlan, handler: Handler, catalogue: Catalogue | undefined): Promise<ConsumerHandle> {
    return this.start(plan, {
      logic: this.machine,
      makePump: (consumer) =>
        new Pump(plan.settings, handler, this.pumpPorts(catalogue), this.pumpReports(consumer)),
    });
  }

  /** As `consume` does, with an actor and a data plane of the caller's choice. */
  async start(
    plan: ConsumerPlan,
    parts: { readonly logic: AnyActorLogic; readonly makePump: (consumer: Consumer) => DataPlane },
  ): Promise<Consumer> {
    const { signal } = plan;
    signal?.throwIfAborted();
    const number = this.#nextNumber++;
    const id = `${plan.spec.name}#${number}`;
    const consumer: Consumer = new Consumer(id, plan, this.#context.clock, () => this.stop(consumer));
    consumer.pump = parts.makePump(consumer);
    this.#register.set(number, consumer);
    const abort = () => void this.stop(consumer);
    signal?.addEventListener('abort', abort, { once: true });
    void consumer.ended.promise.then(() => signal?.removeEventListener('abort', abort));
    this.#context.startChild({
      id: consumer.id,
      logic: parts.logic,
      input: () => ({
        number,
        ownership: plan.spec.ownership,
        ifDeleted: plan.ifDeleted,
        paused: consumer.isPaused,
      }),
    });
    try {
      await consumer.statuses.until(
        ['standby', 'active', 'paused'],
        `Consumer of queue "${consumer.queue}"`,
        { timeoutMs: this.#context.limits.connectTimeoutMs, ...(signal && { signal }) },
        () => consumer.error,
      );
    } catch (error) {
      // Nobody has a handle to it: it must not come to life later.
      void this.stop(consumer);
      throw error;
    }
    consumer.wasReady = true;
    return consumer;
  }

  stop(consumer: Consumer): Promise<void> {
    if (this.all.includes(consumer)) this.#context.stopChild(consumer.id);
    return consumer.ended.promise;
  }

  /** The supervisor is gone, and every child with it. */
  allEnded(): void {
    for (const { id } of this.all) this.ended(id, undefined);
  }

  /** The supervisor has ended this child: it will not run again. */
  ended(id: string, error: Error | undefined): void {
    for (const [number, consumer] of this.#register) {
      if (consumer.id !== id) continue;
      this.#register.delete(number);
      consumer.error ??= error ?? new StoppedError(`The consumer of queue "${consumer.queue}" has stopped.`);
      // After a drain there is nothing left to do; after a crash there is.
      consumer.pump.abandon(consumer.error);
      void this.#consuming.handOver(consumer, Promise.resolve());
      if (!consumer.statuses.isFinal) consumer.statuses.set('failed');
      if (consumer.status === 'failed' && consumer.wasReady)
        this.#consuming.tellLost(consumer, consumer.error);
      consumer.ended.resolve();
    }
  }

  /** It cannot go on here: nothing is begun anew. */
  fail(consumer: Consumer, error: Error): void {
    consumer.error = error;
    this.#consuming.refused(consumer);
  }

  pumpPorts(catalogue: Catalogue | undefined): PumpPorts {
    const { limits, turns, tally, publisher } = this.#context;
    const publish = (fence: Ownership | undefined) => publisher(fence, catalogue);
    return { environment: limits.environment, turns, tally, master: limits.name, catalogue, publish };
  }

  pumpReports(consumer: Consumer): PumpReports {
    const { events } = this.#context;
    const { queue } = consumer;
    return {
      failed: ({ envelope: { id, topic } }, attempt, error) =>
        events.emit('failure', { queue, patterns: undefined, id, topic, attempt, error }),
      buried: ({ envelope: { id } }, { reason, error }) =>
        events.emit('dead-letter', { queue, id, reason, error }),
      refused: ({ envelope: { id } }, error) => {
        const why = brokerError(error).message;
        const text = `The broker does not take message ${id} of queue "${queue}" as a dead letter, and is asked again: ${why}`;
        events.emit('warning', { code: 'DEAD_LETTER_REFUSED', text });
      },
      stuck: ({ envelope: { id } }) => {
        const text = `The handler of message ${id} in queue "${queue}" does not end; the queue is given up, so that another master can try.`;
        events.emit('warning', { code: 'HANDLER_STUCK', text });
        consumer.tellPump({ type: 'pump.stuck' });
      },
      former: ({ envelope }) => events.emit('warning', formerOwner(envelope)),
      lost: (reason) => {
        consumer.error = brokerError(reason);
        if (reason instanceof QueueDeletedError) {
          consumer.pump.abandon(reason);
          consumer.tellPump({ type: 'queue.lost' });
        } else this.#consuming.pumpFailed(consumer);
      },
    };
  }

  #report(number: number, status: ConsumerStatus): void {
    const consumer = this.#register.get(number);
    if (!consumer) return;
    consumer.statuses.set(status);
    if (status === 'standby') this.#consuming.tellStandby(consumer);
  }
}
