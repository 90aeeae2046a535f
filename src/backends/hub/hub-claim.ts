import type { Claim, ClaimSink, Delivery, Holder, Ownership } from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import { fencedBy, type DurableQueue } from './durable-queue.js';
import type { Claimant } from './queue-parts.js';
import type { Hub } from './hub.js';
import type { HubConsumer } from './hub-consumer.js';

/** One session's standing for the ownership of a queue. */
export class HubClaim implements Claim, Claimant {
  ended: () => void = () => {};
  #ownership: HubOwnership | undefined;
  #isOpen = true;

  constructor(
    readonly hub: Hub,
    readonly queue: DurableQueue,
    readonly master: string,
    readonly sink: ClaimSink,
    readonly confirmed: () => Promise<void>,
    /** At the end of its session a sink stays silent. */
    readonly isLive: () => boolean,
  ) {}

  start(): void {
    this.queue.claim(this);
  }

  async withdraw(): Promise<void> {
    this.hub.operations.run(() => this.end());
    await this.confirmed();
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const ownership = this.#ownership;
    this.#ownership = undefined;
    this.ended();
    // What it still consumes goes back before a successor is granted.
    for (const consumer of [...(ownership?.consumers ?? [])]) consumer.end('crashed');
    this.queue.withdraw(this);
  }

  granted(epoch: number): void {
    const ownership = new HubOwnership(this, epoch);
    this.#ownership = ownership;
    this.#sayWhenSafe(() => {
      if (this.owns(ownership)) this.sink.granted(ownership);
    });
  }

  standby(holder: Holder): void {
    this.#sayWhenSafe(() => {
      const { owner, epoch } = this.queue;
      if (this.#isOpen && owner !== this && epoch === holder.epoch) this.sink.standby(holder);
    });
  }

  full(waiting: number): void {
    const ownership = this.#ownership;
    this.#sayWhenSafe(() => {
      if (ownership && this.owns(ownership)) this.sink.full(waiting);
    });
  }

  lost(reason: Error): void {
    this.#isOpen = false;
    this.#ownership = undefined;
    this.ended();
    this.hub.operations.say({ say: () => this.isLive() && this.sink.lost(reason) });
  }

  /** Nobody may rely on an epoch or a binding that the journal could still lose. */
  #sayWhenSafe(say: () => void): void {
    const { journal, operations } = this.hub;
    journal.afterFlush(() => operations.run(() => operations.say({ say })));
  }

  owns(ownership: HubOwnership): boolean {
    return this.#ownership === ownership && this.queue.owner === this;
  }
}

export class HubOwnership implements Ownership {
  readonly consumers = new Set<HubConsumer>();
  readonly checkpoint: Uint8Array | undefined;

  constructor(
    readonly claim: HubClaim,
    readonly epoch: number,
  ) {
    this.checkpoint = claim.queue.checkpoint && Uint8Array.from(claim.queue.checkpoint);
  }

  get queueId(): string {
    return this.claim.queue.id;
  }

  get queue(): string {
    return this.claim.queue.spec.name;
  }

  valid(): boolean {
    return this.claim.owns(this);
  }

  async revalidate(): Promise<void> {
    this.#check();
  }

  async bind(patterns: readonly string[]): Promise<void> {
    this.#check();
    this.claim.hub.reconcile(this.claim.queue, patterns);
    await this.claim.confirmed();
  }

  async save(checkpoint: Uint8Array, settled: readonly Delivery[]): Promise<void> {
    this.#check();
    this.claim.hub.operations.run(() => {
      this.claim.queue.save(checkpoint);
      for (const delivery of settled) delivery.ack();
    });
    await this.claim.confirmed();
  }

  async release(): Promise<void> {
    await this.claim.withdraw();
  }

  #check(): void {
    if (!this.valid())
      throw this.claim.queue.owner
        ? fencedBy(this.claim.queue)
        : new FencedError(`The ownership of queue "${this.queue}" has ended.`);
  }
}
