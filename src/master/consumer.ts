import type { ConsumerEvent, ConsumerStatus } from '../../actors/consumer.js';
import type { Claim, Ownership } from '../backend.js';
import { Deferred } from '../flow/deferred.js';
import type { DataPlane } from '../flow/pump.js';
import { Statuses, type UntilOptions } from '../flow/statuses.js';
import type { Clock } from '../model/clock.js';
import { checkUntil, type ConsumerPlan } from './options.js';

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
export type Tell = (event: ConsumerEvent) => void;

/** What a consumer of this master holds outside of its actor. */
export class Consumer implements ConsumerHandle {
  readonly statuses: Statuses<ConsumerStatus>;
  readonly ended = new Deferred<void>();
  pump!: DataPlane;
  /** It has declared its queue: from then on the queue is looked for, not created. */
  declared = false;
  /** The queue's life that it has known: another one is not its queue. */
  queueId: string | undefined;
  claim: Promise<Claim> | undefined;
  ownership: Ownership | undefined;
  /** When the ownership was granted, until it is told that it is active. */
  grantedAt: number | undefined;
  /** The epoch of the master that owns the queue instead, until it is told. */
  foreignEpoch: number | undefined;
  error: Error | undefined;
  /** Somebody has a handle to it. */
  wasReady = false;
  isPaused = false;
  /** The broker refused or ended its consuming though the session lives: its supervisor begins anew. */
  mustCrash = false;
  /** Tells the actor while its pump runs. */
  tellPump: Tell = () => {};
  /** Tells the actor while it runs. */
  tellActor: Tell = () => {};

  constructor(
    readonly id: string,
    readonly plan: ConsumerPlan,
    clock: Clock,
    /** Has its supervisor end it. */
    readonly stop: () => Promise<void>,
  ) {
    this.statuses = new Statuses<ConsumerStatus>('declaring', ['stopped', 'lost', 'failed'], clock);
  }

  get queue(): string {
    return this.plan.spec.name;
  }

  get status(): ConsumerStatus {
    return this.statuses.status;
  }

  async until(status: ConsumerStatus, options: UntilOptions = {}): Promise<void> {
    checkUntil(options);
    const what = `Consumer of queue "${this.queue}"`;
    await this.statuses.until([status], what, options, () => this.error);
  }

  pause(): void {
    this.isPaused = true;
    this.tellActor({ type: 'pause.requested' });
  }

  resume(): void {
    this.isPaused = false;
    this.tellActor({ type: 'resume.requested' });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
