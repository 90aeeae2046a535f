import type { Claim, ClaimSink, Delivery, Holder, Ownership } from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import { fencedBy, type Claimant, type DurableQueue } from './durable-queue.js';
import type { Hub } from './hub.js';
import { HubDelivery } from './hub-consumer.js';

/** One session's standing for the ownership of a queue. */
export class HubClaim implements Claim, Claimant {
  ended: () => void = () => {};
  #ownership: HubOwnership | undefined;

  constructor(
    readonly hub: Hub,
    readonly queue: DurableQueue,
    readonly master: string,
    readonly sink: ClaimSink,
    readonly confirmed: () => Promise<void>,
  ) {}

  start(): void {
    this.queue.claim(this);
  }

  async withdraw(): Promise<void> {
    this.end();
    await this.confirmed();
  }

  end(): void {
    this.#forget();
    this.queue.withdraw(this);
  }

  granted(epoch: number): void {
    const ownership = new HubOwnership(this, epoch);
    this.#ownership = ownership;
    // The successor may rely on the new epoch only once it is safe.
    this.hub.journal.afterFlush(() => {
      if (this.#ownership === ownership) this.sink.granted(ownership);
    });
  }

  standby(holder: Holder): void {
    this.sink.standby(holder);
  }

  fenced(reason: Error): void {
    this.#ownership = undefined;
    this.sink.fenced(reason);
  }

  lost(reason: Error): void {
    this.#forget();
    this.sink.lost(reason);
  }

  owns(ownership: HubOwnership): boolean {
    return this.#ownership === ownership && this.queue.owner === this;
  }

  #forget(): void {
    this.#ownership = undefined;
    this.ended();
  }
}

export class HubOwnership implements Ownership {
  readonly checkpoint: Uint8Array | undefined;

  constructor(
    readonly claim: HubClaim,
    readonly epoch: number,
  ) {
    this.checkpoint = claim.queue.checkpoint;
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
    this.claim.queue.save(checkpoint);
    for (const delivery of settled) if (delivery instanceof HubDelivery) delivery.ack();
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
