import type { Delivery, Holder, Ownership } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { DeadlineError, FencedError } from '../../model/errors.js';
import { CallRecord } from '../broker/call-record.js';
import type { CheckpointRecord } from './checkpoint.js';
import type { StreamConsumers } from './consumers.js';
import { JetStreamDelivery } from './delivery.js';
import { filterOf } from './filters.js';
import type { Held } from './held.js';
import type { LeaseHolder } from './lease-holder.js';
import { holderOf, patternsOf, type Lease, type Segment } from './lease.js';
import type { Names } from './names.js';
import type { OwnerIntake } from './owner-intake.js';
import type { SignsOfLife } from './signs-of-life.js';
import type { Marks } from './take-over.js';

export interface OwnershipPorts {
  readonly lease: LeaseHolder;
  readonly checkpoint: CheckpointRecord;
  readonly signs: SignsOfLife;
  readonly environment: Environment;
  readonly names: Names;
  readonly events: StreamConsumers;
  readonly several: boolean;
  readonly ownerTimeoutMs: number;
  /** Notes again that this master lives. */
  readonly renew: () => Promise<void>;
  /** The last sequence of the stream. */
  readonly lastSequence: () => Promise<number>;
  /** Reads the lease anew: rejects with a FencedError if another has it, and tells the claim so. */
  readonly check: () => Promise<void>;
  /** Its bindings are in place. Of a shared queue it resolves when all who consume it follow. */
  readonly bound: () => Promise<void>;
  readonly released: () => Promise<void>;
}

/** The right to consume a queue, held as a lease. */
export class JetStreamOwnership implements Ownership {
  readonly queueId: string;
  readonly epoch: number;
  readonly checkpoint: Uint8Array | undefined;
  readonly calls: CallRecord;
  /** Of a shared queue undefined: its owner only keeps the bindings. */
  intake: OwnerIntake | undefined;
  private readonly signs: SignsOfLife;
  readonly #ports: OwnershipPorts;
  readonly #marks: Pick<Marks, 'delivered' | 'unclean'>;
  #isHeld = true;
  #isReleased = false;
  #lapses: number;
  #binding: Promise<unknown> = Promise.resolve();

  constructor(
    readonly queue: string,
    options: { readonly found: Lease; readonly marks: Marks | undefined; readonly provenAt: number },
    ports: OwnershipPorts,
  ) {
    const { lease } = ports.lease;
    this.#ports = ports;
    this.signs = ports.signs;
    this.#marks = options.marks ?? { delivered: 0, unclean: 0 };
    this.#lapses = options.provenAt;
    this.queueId = lease.queueId;
    this.epoch = lease.epoch;
    this.checkpoint = ports.checkpoint.found;
    // Whether a former owner handed over properly is in the marks.
    this.calls = new CallRecord({ begun: options.found.begun, isClean: false });
  }

  /** Whether it has not ended; it may have lapsed. */
  get isHeld(): boolean {
    return this.#isHeld && !this.#isReleased;
  }

  get holder(): Holder {
    return holderOf(this.#ports.lease.lease);
  }

  get bindings(): readonly string[] {
    return patternsOf(this.#ports.lease.lease);
  }

  valid(): boolean {
    const { signs } = this;
    return this.isHeld && this.#lapses === signs.lapses && signs.valid();
  }

  async revalidate(): Promise<void> {
    this.#check();
    const { renew, check, environment, ownerTimeoutMs } = this.#ports;
    const { signs } = this;
    const { clock } = environment;
    const deadline = clock.now() + ownerTimeoutMs;
    for (;;) {
      await signs.prove();
      const lapses = signs.lapses;
      if (!signs.isRenewed) await renew();
      await check();
      this.#check();
      this.proven(lapses);
      if (this.valid()) return;
      if (clock.now() > deadline)
        throw new DeadlineError(`Queue "${this.queue}" gave no sign of life in time.`);
    }
  }

  /** Calls back when it is valid again under the same epoch, and never if it has ended. */
  whenValid(say: () => void): void {
    this.#unsaid.push(say);
    if (this.#unsaid.length > 1) return;
    void this.revalidate().then(
      () => {
        for (const word of this.#unsaid.splice(0)) word();
      },
      () => void this.#unsaid.splice(0),
    );
  }

  readonly #unsaid: (() => void)[] = [];

  /** The lease was read, and is ours, after so many lapses. */
  proven(lapses: number): void {
    this.#lapses = lapses;
  }

  bind(patterns: readonly string[]): Promise<void> {
    const bound = this.#binding.then(() => this.#bind([...new Set(patterns)]));
    this.#binding = bound.catch(() => {});
    return bound;
  }

  async save(checkpoint: Uint8Array, settled: readonly Delivery[]): Promise<void> {
    this.#check();
    await this.#ports.checkpoint.save(checkpoint);
    this.#check();
    for (const delivery of settled) if (delivery instanceof JetStreamDelivery) delivery.ackProven();
  }

  /** Resolves when a successor would find what is known of calls. */
  noteCalls(): Promise<void> {
    return this.#ports.lease.change({});
  }

  settled(held: Held): void {
    this.calls.settled(held.key);
    this.intake?.settled(held);
  }

  /** Of what is settled beyond the first unsettled message a successor knows from the lease alone. */
  async noteSettled(): Promise<void> {
    if (this.isHeld && this.intake && this.intake.kept().length > 0) await this.#ports.lease.change({});
  }

  /** A former owner may have had it in hand. A letter that was put back tells by itself. */
  wasDelivered({ source, place }: Held): boolean {
    return !source.isAgain && place.sequence <= this.#marks.delivered;
  }

  /** A handler of a former owner may have been called with it. */
  mayHaveBegun({ source, place }: Held): boolean {
    return !source.isAgain && place.sequence <= this.#marks.unclean;
  }

  async release(): Promise<void> {
    if (!this.isHeld) return;
    this.#isReleased = true;
    await this.#ports.released();
  }

  end(): void {
    this.#isHeld = false;
    this.intake?.end();
  }

  async #bind(wanted: readonly string[]): Promise<void> {
    this.#check();
    const { lease, bound } = this.#ports;
    if (!isSame(wanted, patternsOf(lease.lease))) await this.#rebind(wanted);
    else if (lease.lease.isBound) return;
    await lease.change({ isBound: true });
    this.#check();
    await bound();
  }

  /** The consumer of the new patterns first: what the old one has up to then stays in the queue. */
  async #rebind(wanted: readonly string[]): Promise<void> {
    const { lease, names, several, events, environment, lastSequence } = this.#ports;
    const filter = filterOf(wanted, { prefix: names.eventPrefix, several });
    const last = lease.lease.segments.at(-1);
    const open = last && last.until === undefined ? last : undefined;
    let begun: Segment | undefined;
    if (filter) {
      const consumer = names.consumer(this.queue, environment.randomId());
      const ackWaitMs = lease.lease.ownership === 'shared' ? this.#ports.ownerTimeoutMs : undefined;
      const info = await events.create({
        name: consumer,
        subjects: filter.subjects,
        start: undefined,
        ackWaitMs,
      });
      begun = { consumer, patterns: wanted, after: info.delivered.stream_seq, until: undefined };
    }
    const until = begun?.after ?? (open ? await lastSequence() : 0);
    const ended = open && { ...open, until };
    const segments = lease.lease.segments.map((segment) => (segment === open ? ended! : segment));
    try {
      this.#check();
      await lease.change({ segments: begun ? [...segments, begun] : segments });
    } catch (error) {
      if (begun) await events.delete(begun.consumer).catch(() => {});
      throw error;
    }
    this.intake?.replace(ended, begun);
    // Until then it expires, and what it holds with it.
    if (begun) await events.keep(begun.consumer);
  }

  #check(): void {
    if (!this.isHeld) throw new FencedError(`The ownership of queue "${this.queue}" has ended.`);
  }
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((pattern) => other.includes(pattern));
}
