import {
  consumerMachine,
  type ConsumerContext,
  type ConsumerDeclared,
  type ConsumerEvent,
  type ConsumerStatus,
} from '../../actors/consumer.js';
import { fillPromise, fillResource } from '../../actors/slots.js';
import type { Claim, Ownership, Session } from '../backend.js';
import { Deferred } from '../flow/deferred.js';
import type { Handler } from '../flow/handler.js';
import { Pump } from '../flow/pump.js';
import { Statuses, type UntilOptions } from '../flow/statuses.js';
import { QueueDeletedError, SessionLostError, StoppedError, isRetryable, toError } from '../model/errors.js';
import type { Catalogue } from '../model/catalogue.js';
import type { MasterContext } from './context.js';
import type { ConsumerPlan } from './options.js';

/** What `consume` resolves with. */
export interface ConsumerHandle {
  readonly queue: string;
  readonly status: ConsumerStatus;
  /** Resolves at once if it is in that status; rejects when it can never be again, when aborted, or at the deadline. */
  until(status: ConsumerStatus, options?: UntilOptions): Promise<void>;
  /** Lets running calls end and gives back the rest; the ownership stays. */
  pause(): void;
  resume(): void;
  /** Drains and hands over; the queue stays. Twice is once. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a consumer's actor may be told from outside. */
type Tell = (event: ConsumerEvent) => void;

class Consumer implements ConsumerHandle {
  readonly statuses: Statuses<ConsumerStatus>;
  readonly ended = new Deferred<void>();
  pump!: Pump;
  /** It has declared its queue: from then on the queue is looked for, not created. */
  declared = false;
  /** The queue's life that it has known: another one is not its queue. */
  queueId: string | undefined;
  claim: Promise<Claim> | undefined;
  ownership: Ownership | undefined;
  grantedAt = 0;
  error: Error | undefined;
  /** Somebody has a handle to it. */
  wasReady = false;
  isPaused = false;
  /** The broker refused or ended its consuming though the session lives. */
  pumpFailed = false;
  /** Tells the actor while its pump runs. */
  tellPump: Tell = () => {};
  /** Tells the actor while it runs. */
  tellActor: Tell = () => {};

  constructor(
    readonly id: string,
    readonly plan: ConsumerPlan,
    private readonly consumers: Consumers,
    context: MasterContext,
  ) {
    this.statuses = new Statuses<ConsumerStatus>('declaring', ['stopped', 'lost', 'failed'], context.clock);
  }

  get queue(): string {
    return this.plan.spec.name;
  }

  get status(): ConsumerStatus {
    return this.statuses.status;
  }

  until(status: ConsumerStatus, options: UntilOptions = {}): Promise<void> {
    return this.statuses.until([status], `Consumer of queue "${this.queue}"`, options, () => this.error);
  }

  pause(): void {
    this.isPaused = true;
    this.tellActor({ type: 'pause.requested' });
  }

  resume(): void {
    this.isPaused = false;
    this.tellActor({ type: 'resume.requested' });
  }

  stop(): Promise<void> {
    return this.consumers.stop(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** The durable consumers of a master: the slots of their machine, and what they hold outside of it. */
export class Consumers {
  readonly #context: MasterContext;
  readonly #register = new Map<number, Consumer>();
  readonly #machine;
  #nextNumber = 1;

  constructor(context: MasterContext) {
    this.#context = context;
    const promise = <Output>(work: (consumer: Consumer) => Promise<Output>) =>
      fillPromise<Output, ConsumerContext>((input) => work(this.#register.get(input.number)!));
    const resource = (hold: (consumer: Consumer, tell: Tell) => () => void) =>
      fillResource<ConsumerEvent, ConsumerContext>((input, tell) =>
        hold(this.#register.get(input.number)!, tell),
      );
    this.#machine = consumerMachine.provide({
      actors: {
        session: fillPromise<void, ConsumerContext>(async (_, signal) => {
          await context.link.whenUp(signal);
        }),
        declare: promise((consumer) => this.#declare(consumer)),
        control: resource((consumer, tell) => {
          consumer.tellActor = tell;
          return () => (consumer.tellActor = () => {});
        }),
        claim: resource((consumer, tell) => this.#claim(consumer, tell)),
        pump: resource((consumer, tell) => this.#pump(consumer, tell)),
        windDown: promise((consumer) => context.drains.run((deadline) => consumer.pump.quiet(deadline))),
        retreat: promise((consumer) => this.#retreat(consumer)),
        giveBack: promise((consumer) => context.drains.run((deadline) => consumer.pump.drain(deadline))),
        drain: promise((consumer) => context.drains.run((deadline) => this.#handOver(consumer, deadline))),
        forget: promise((consumer) => this.#forget(consumer)),
      },
      actions: { report: (_, { number, status }) => this.#report(number, status) },
    });
  }

  get all(): readonly Consumer[] {
    return [...this.#register.values()];
  }

  /** Resolves when the queue is declared and bound: standby or active. */
  async start(
    plan: ConsumerPlan,
    handler: Handler,
    catalogue: Catalogue | undefined,
  ): Promise<ConsumerHandle> {
    const { signal } = plan;
    signal?.throwIfAborted();
    const number = this.#nextNumber++;
    const consumer = new Consumer(`${plan.spec.name}#${number}`, plan, this, this.#context);
    consumer.pump = this.#makePump(consumer, handler, catalogue);
    this.#register.set(number, consumer);
    const abort = () => void this.stop(consumer);
    signal?.addEventListener('abort', abort, { once: true });
    void consumer.ended.promise.then(() => signal?.removeEventListener('abort', abort));
    this.#context.startChild({
      id: consumer.id,
      logic: this.#machine,
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
      void this.#handOver(consumer, Promise.resolve());
      if (!consumer.statuses.isFinal) consumer.statuses.set('failed');
      if (consumer.status === 'failed' && consumer.wasReady) this.#tellLost(consumer, consumer.error);
      consumer.ended.resolve();
    }
  }

  #makePump(consumer: Consumer, handler: Handler, catalogue: Catalogue | undefined): Pump {
    const { events, limits, turns, publisher } = this.#context;
    const queue = consumer.queue;
    const publish = (fence: Ownership | undefined) => publisher(fence, catalogue);
    return new Pump(
      consumer.plan.settings,
      handler,
      { environment: limits.environment, turns, master: limits.name, catalogue, publish },
      {
        failed: ({ envelope: { id, topic } }, attempt, error) =>
          events.emit('failure', { queue, patterns: undefined, id, topic, attempt, error }),
        buried: ({ envelope: { id } }, { reason, error }) =>
          events.emit('dead-letter', { queue, id, reason, error }),
        stuck: ({ envelope: { id } }) => {
          const text = `The handler of message ${id} in queue "${queue}" does not end; the queue is given up, so that another master can try.`;
          events.emit('warning', { code: 'HANDLER_STUCK', text });
          consumer.tellPump({ type: 'pump.stuck' });
        },
        lost: (reason) => {
          consumer.error = reason;
          if (reason instanceof QueueDeletedError) {
            consumer.pump.abandon(reason);
            consumer.tellPump({ type: 'queue.lost' });
          } else this.#pumpFailed(consumer);
        },
      },
    );
  }

  #report(number: number, status: ConsumerStatus): void {
    const consumer = this.#register.get(number);
    if (!consumer) return;
    const before = consumer.status;
    consumer.statuses.set(status);
    if (status === before || consumer.plan.spec.ownership === 'shared') return;
    if (status === 'standby' || status === 'fenced') this.#tellOwner(consumer, status, 0);
  }

  async #declare(consumer: Consumer): Promise<ConsumerDeclared> {
    const { session } = this.#context.link;
    if (!session) return { type: 'session.lost' };
    try {
      if (!consumer.declared) {
        await session.declareQueue(consumer.plan.spec);
        consumer.declared = true;
        return { type: 'done' };
      }
      if (await session.findQueue(consumer.queue)) return { type: 'done' };
      consumer.error = deletedMeanwhile(consumer.queue);
      return { type: 'queue.lost' };
    } catch (thrown) {
      if (thrown instanceof SessionLostError || this.#context.link.session !== session)
        return { type: 'session.lost' };
      // What may pass is the supervisor's affair: the child crashes, and is started again after a while.
      if (isRetryable(thrown)) throw thrown;
      consumer.error = toError(thrown);
      return { type: 'failed' };
    }
  }

  #claim(consumer: Consumer, tell: Tell): () => void {
    const { session } = this.#context.link;
    let stands = true;
    const say: Tell = (event) => {
      if (stands) tell(event);
    };
    const offDown = this.#context.link.onceDown((reason) => {
      consumer.ownership = undefined;
      consumer.pump.abandon(reason);
      say({ type: 'session.lost' });
    });
    if (session) {
      const claim = (consumer.claim = session.claim(consumer.queue, {
        granted: (ownership) => {
          if (stands && this.#isItsQueue(consumer, ownership.queueId, say))
            void this.#granted(consumer, session, ownership, say);
        },
        standby: ({ queueId }) => {
          if (stands && this.#isItsQueue(consumer, queueId, say)) say({ type: 'claim.standby' });
        },
        fenced: (reason) => {
          if (!stands) return;
          consumer.ownership = undefined;
          // Of a shared queue the owner only keeps the bindings.
          if (consumer.plan.spec.ownership === 'exclusive') consumer.pump.abandon(reason);
          say({ type: 'claim.fenced' });
        },
        lost: (reason) => {
          if (!stands) return;
          consumer.ownership = undefined;
          consumer.error = reason;
          consumer.pump.abandon(reason);
          say({ type: 'queue.lost' });
        },
        full: (depth) => {
          const { limit } = consumer.plan.spec;
          if (stands && limit)
            this.#context.events.emit('limit', { queue: consumer.queue, depth, policy: limit.onFull });
        },
      }));
      claim.catch((thrown: unknown) => this.#claimFailed(consumer, session, thrown, say));
    }
    return () => {
      stands = false;
      offDown();
    };
  }

  /** A queue that was deleted and created again is not taken for the one that was lost. */
  #isItsQueue(consumer: Consumer, queueId: string, say: Tell): boolean {
    consumer.queueId ??= queueId;
    if (consumer.queueId === queueId) return true;
    consumer.error = deletedMeanwhile(consumer.queue);
    say({ type: 'queue.lost' });
    return false;
  }

  async #granted(consumer: Consumer, session: Session, ownership: Ownership, say: Tell): Promise<void> {
    consumer.ownership = ownership;
    consumer.grantedAt = this.#context.clock.now();
    try {
      await ownership.bind(consumer.plan.bindings);
      if (consumer.ownership === ownership) say({ type: 'claim.granted' });
    } catch (thrown) {
      if (consumer.ownership === ownership) this.#claimFailed(consumer, session, thrown, say);
    }
  }

  #claimFailed(consumer: Consumer, session: Session, thrown: unknown, say: Tell): void {
    // A lost session is told by the link.
    if (thrown instanceof SessionLostError || this.#context.link.session !== session) return;
    consumer.error = toError(thrown);
    say({ type: 'claim.failed' });
  }

  #pump(consumer: Consumer, tell: Tell): () => void {
    let stands = true;
    consumer.tellPump = (event) => {
      if (stands) tell(event);
    };
    void this.#openPump(consumer, () => stands);
    return () => {
      stands = false;
      consumer.pump.halt();
    };
  }

  async #openPump(consumer: Consumer, stands: () => boolean): Promise<void> {
    // What a pause or a fence gave back must be back before it is asked for again.
    await consumer.pump.closed;
    const { session } = this.#context.link;
    if (!stands() || !session) return;
    const ownership = consumer.plan.spec.ownership === 'exclusive' ? consumer.ownership : undefined;
    try {
      await consumer.pump.open(session, ownership);
      if (stands() && ownership)
        this.#tellOwner(consumer, 'active', this.#context.clock.now() - consumer.grantedAt);
    } catch (thrown) {
      consumer.error = toError(thrown);
      if (this.#context.link.session === session) this.#pumpFailed(consumer);
    }
  }

  #pumpFailed(consumer: Consumer): void {
    consumer.pumpFailed = true;
    consumer.tellPump({ type: 'pump.failed' });
  }

  #tellOwner(consumer: Consumer, status: ConsumerStatus, takeoverMs: number): void {
    const epoch = consumer.ownership?.epoch ?? 0;
    this.#context.events.emit('owner', { queue: consumer.queue, epoch, status, takeoverMs });
  }

  async #retreat(consumer: Consumer): Promise<void> {
    consumer.pump.abandon(consumer.error ?? new SessionLostError('The session was lost.'));
    await this.#context.drains.run(async (deadline) => {
      await consumer.pump.quiet(deadline);
      await this.#withdraw(consumer);
    });
    if (!consumer.pumpFailed) return;
    consumer.pumpFailed = false;
    throw consumer.error!;
  }

  async #handOver(consumer: Consumer, deadline: Promise<void>): Promise<void> {
    await consumer.pump.drain(deadline);
    const { ownership } = consumer;
    consumer.ownership = undefined;
    if (ownership) await ownership.release().catch(() => {});
    await this.#withdraw(consumer);
  }

  async #withdraw(consumer: Consumer): Promise<void> {
    const { claim } = consumer;
    consumer.claim = undefined;
    consumer.ownership = undefined;
    await claim?.then((standing) => standing.withdraw()).catch(() => {});
  }

  async #forget(consumer: Consumer): Promise<void> {
    const reason = consumer.error ?? new QueueDeletedError(`Queue "${consumer.queue}" was deleted.`);
    this.#tellLost(consumer, reason);
    await this.#retreat(consumer);
    consumer.declared = false;
    consumer.queueId = undefined;
  }

  #tellLost({ queue }: Consumer, reason: Error): void {
    this.#context.events.emit('lost', { queue, subscription: undefined, reason });
  }
}

function deletedMeanwhile(queue: string): QueueDeletedError {
  return new QueueDeletedError(
    `Queue "${queue}" was deleted while this master was away; what it held is gone.`,
  );
}
