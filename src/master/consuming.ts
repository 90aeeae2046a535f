import type { ConsumerDeclared, ConsumerStatus } from '../../actors/consumer.js';
import type { Ownership, Session } from '../backend.js';
import {
  FencedError,
  QueueDeletedError,
  QueueNotFoundError,
  SchedulerStateError,
  SessionLostError,
  isRetryable,
} from '../model/errors.js';
import { brokerError } from '../model/secrets.js';
import type { Consumer, Tell } from './consumer.js';
import type { MasterContext } from './context.js';
import { refusalOf } from './refusal.js';

/** What a durable consumer does with its broker, step by step: the work of its actor's slots. */
export class Consuming {
  readonly #context: MasterContext;

  constructor(context: MasterContext) {
    this.#context = context;
  }

  async declare(consumer: Consumer): Promise<ConsumerDeclared> {
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
      const refusal = refusalOf(thrown, session, this.#context.link);
      if (!refusal) return { type: 'session.lost' };
      consumer.error = refusal;
      return { type: 'failed' };
    }
  }

  claim(consumer: Consumer, tell: Tell): () => void {
    const { session } = this.#context.link;
    let stands = true;
    const say: Tell = (event) => {
      if (stands) tell(event);
    };
    const offDown = this.#context.link.onceDown((reason) => {
      consumer.pump.abandon(reason);
      say({ type: 'session.lost' });
      this.#disown(consumer, 'waiting');
    });
    if (session) {
      const claim = (consumer.claim = session.claim(consumer.queue, {
        granted: (ownership) => {
          if (stands && this.#isItsQueue(consumer, ownership.queueId, say))
            void this.#granted(consumer, session, ownership, say);
        },
        standby: ({ queueId, epoch }) => {
          if (!stands || !this.#isItsQueue(consumer, queueId, say)) return;
          consumer.foreignEpoch = epoch;
          say({ type: 'claim.standby' });
          this.tellStandby(consumer);
        },
        fenced: (reason) => {
          if (!stands) return;
          // Of a shared queue the owner only keeps the bindings.
          if (consumer.plan.spec.ownership === 'exclusive') consumer.pump.abandon(brokerError(reason));
          say({ type: 'claim.fenced' });
          this.#disown(consumer, 'fenced');
        },
        lost: (reason) => {
          if (!stands) return;
          consumer.error = brokerError(reason);
          consumer.pump.abandon(consumer.error);
          say({ type: 'queue.lost' });
          this.#disown(consumer, 'lost');
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
    consumer.foreignEpoch = undefined;
    try {
      await ownership.bind(consumer.plan.bindings);
      if (consumer.ownership === ownership) say({ type: 'claim.granted' });
    } catch (thrown) {
      if (consumer.ownership === ownership) this.#claimFailed(consumer, session, thrown, say);
    }
  }

  #claimFailed(consumer: Consumer, session: Session, thrown: unknown, say: Tell): void {
    // A lost session is told by the link, an ownership that has ended by the claim.
    if (thrown instanceof SessionLostError || this.#context.link.session !== session) return;
    if (thrown instanceof FencedError) return;
    if (thrown instanceof QueueNotFoundError) {
      consumer.error = deletedMeanwhile(consumer.queue);
      say({ type: 'queue.lost' });
      return;
    }
    consumer.error = brokerError(thrown);
    consumer.mustCrash = isRetryable(consumer.error);
    say({ type: consumer.mustCrash ? 'claim.crashed' : 'claim.failed' });
  }

  pump(consumer: Consumer, tell: Tell): () => void {
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
      if (stands() && ownership) this.#tellActive(consumer, ownership);
    } catch (thrown) {
      consumer.error = brokerError(thrown);
      // A lost session is told by the link, a little later: it is no failure of the consumer.
      if (thrown instanceof SessionLostError) return;
      if (this.#context.link.session !== session) return;
      if (thrown instanceof SchedulerStateError) this.refused(consumer);
      else this.pumpFailed(consumer);
    }
  }

  /** It will never be otherwise: nothing is begun anew. */
  refused(consumer: Consumer): void {
    consumer.pump.abandon(consumer.error!);
    consumer.tellPump({ type: 'claim.failed' });
  }

  pumpFailed(consumer: Consumer): void {
    consumer.mustCrash = true;
    consumer.tellPump({ type: 'pump.failed' });
  }

  /** Of one ownership the first time alone is a take-over: later ones come after a pause. */
  #tellActive(consumer: Consumer, { epoch }: Ownership): void {
    const { grantedAt } = consumer;
    consumer.grantedAt = undefined;
    const takeoverMs = grantedAt === undefined ? 0 : this.#context.clock.now() - grantedAt;
    this.#tellOwner(consumer, { epoch, status: 'active', takeoverMs });
  }

  /** Told once of each owner, when the consumer stands by and knows who that is. */
  tellStandby(consumer: Consumer): void {
    const { foreignEpoch: epoch, status } = consumer;
    if (epoch === undefined || status !== 'standby') return;
    consumer.foreignEpoch = undefined;
    this.#tellOwner(consumer, { epoch, status, takeoverMs: 0 });
  }

  /** An ownership has ended. */
  #disown(consumer: Consumer, status: ConsumerStatus): void {
    const { ownership } = consumer;
    consumer.ownership = undefined;
    consumer.foreignEpoch = undefined;
    if (ownership) this.#tellOwner(consumer, { epoch: ownership.epoch, status, takeoverMs: 0 });
  }

  #tellOwner(
    { queue, plan }: Consumer,
    told: { readonly epoch: number; readonly status: ConsumerStatus; readonly takeoverMs: number },
  ): void {
    if (plan.spec.ownership === 'exclusive') this.#context.events.emit('owner', { queue, ...told });
  }

  async retreat(consumer: Consumer): Promise<void> {
    consumer.pump.abandon(consumer.error ?? new SessionLostError('The session was lost.'));
    await this.#context.drains.run(async (deadline) => {
      await consumer.pump.quiet(deadline);
      await this.#withdraw(consumer);
    });
    if (!consumer.mustCrash) return;
    consumer.mustCrash = false;
    throw consumer.error!;
  }

  async handOver(consumer: Consumer, deadline: Promise<void>): Promise<void> {
    await consumer.pump.drain(deadline);
    const { ownership } = consumer;
    this.#disown(consumer, consumer.status === 'draining' ? 'stopped' : consumer.status);
    if (ownership) await ownership.release().catch(() => {});
    await this.#withdraw(consumer);
  }

  async #withdraw(consumer: Consumer): Promise<void> {
    const { claim } = consumer;
    consumer.claim = undefined;
    this.#disown(consumer, consumer.status);
    await claim?.then((standing) => standing.withdraw()).catch(() => {});
  }

  async forget(consumer: Consumer): Promise<void> {
    const reason = consumer.error ?? new QueueDeletedError(`Queue "${consumer.queue}" was deleted.`);
    this.tellLost(consumer, reason);
    await this.retreat(consumer);
    consumer.declared = false;
    consumer.queueId = undefined;
  }

  tellLost({ queue }: Consumer, reason: Error): void {
    this.#context.events.emit('lost', { queue, subscription: undefined, reason });
  }
}

function deletedMeanwhile(queue: string): QueueDeletedError {
  return new QueueDeletedError(
    `Queue "${queue}" was deleted while this master was away; what it held is gone.`,
  );
}
