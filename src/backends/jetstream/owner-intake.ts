import type { Environment } from '../../model/clock.js';
import type { Connection } from './connection.js';
import type { StreamConsumers } from './consumers.js';
import { filterOf } from './filters.js';
import type { Held } from './held.js';
import { Intake } from './intake.js';
import type { LeaseHolder } from './lease-holder.js';
import type { Segment } from './lease.js';
import type { Names } from './names.js';
import { Source } from './source.js';

export interface OwnerIntakePorts {
  readonly connection: Connection;
  readonly environment: Environment;
  readonly names: Names;
  readonly queue: string;
  readonly events: StreamConsumers;
  readonly letters: StreamConsumers;
  /** Whether the server takes several filters for one consumer. */
  readonly several: boolean;
  readonly lease: LeaseHolder;
  /** The stream may be gone: whoever asks for it finds out. */
  readonly suspect: () => void;
}

/** So many sequences that are settled beyond the first unsettled one are remembered. */
const SETTLED_MAX = 10_000;

/** What the owner of an exclusive queue takes in, whoever consumes under its ownership, and what of it is settled. */
export class OwnerIntake {
  readonly intake: Intake;
  readonly #ports: OwnerIntakePorts;
  /** Sequences settled by this owner or a former one, as far as they may come again. */
  readonly #settled: Set<number>;
  #isOpen = true;
  #isMending = false;
  /** The highest sequence that has come: what was settled beyond it may still come again. */
  #reached = 0;

  constructor(ports: OwnerIntakePorts) {
    this.#ports = ports;
    const { lease } = ports.lease;
    this.#settled = new Set(lease.settled);
    this.intake = new Intake({
      isOrdered: true,
      isSettled: (held) => !held.source.isAgain && this.#settled.has(held.place.sequence),
      done: (source) => void this.#retire(source).catch(() => {}),
    });
    for (const segment of lease.segments) this.#open(segment.consumer, segment);
    if (lease.again !== undefined) this.#open(lease.again, undefined);
  }

  settled(held: Held): void {
    if (held.source.isAgain) return;
    this.#settled.add(held.place.sequence);
    if (this.#settled.size > SETTLED_MAX) this.#prune();
  }

  /** Settled beyond the first that is not. */
  kept(): number[] {
    this.#prune();
    return [...this.#settled];
  }

  /** Bindings have changed: the last segment ends, and another begins. */
  replace(ended: Segment | undefined, begun: Segment | undefined): void {
    if (ended) this.intake.find(ended.consumer)?.end(ended.until!);
    if (begun) this.#open(begun.consumer, begun);
    this.intake.fill();
  }

  /** Letters were put back: they have a consumer from now on. */
  openAgain(consumer: string): void {
    if (!this.intake.find(consumer)) this.#open(consumer, undefined);
  }

  end(): void {
    this.#isOpen = false;
    this.intake.detach();
    for (const source of this.intake.sources) source.stop();
    this.intake.takeAll();
  }

  #open(consumer: string, segment: Segment | undefined): void {
    const { connection, environment, events, letters, names } = this.#ports;
    this.intake.add(
      new Source(consumer, segment, {
        connection,
        clock: environment.clock,
        consumers: segment ? events : letters,
        prefix: names.eventPrefix,
        isShared: false,
        taken: (held) => {
          if (segment) this.#reached = Math.max(this.#reached, held.place.sequence);
          this.intake.taken(held);
        },
        changed: () => this.intake.fill(),
        missing: (source) => void this.#missing(source).catch(() => {}),
      }),
    );
  }

  async #retire(source: Source): Promise<void> {
    const { lease, events } = this.#ports;
    const segments = lease.lease.segments.filter(({ consumer }) => consumer !== source.consumer);
    await lease.change({ segments });
    await events.delete(source.consumer);
  }

  /** The server has forgotten a consumer, or its leader has changed: it is asked again, or made again. */
  async #missing(source: Source): Promise<void> {
    const { events, letters, lease, environment, names, queue, several, suspect } = this.#ports;
    if (!this.#isOpen || this.#isMending) return;
    this.#isMending = true;
    try {
      if (await (source.isAgain ? letters : events).info(source.consumer)) return this.intake.fill();
      suspect();
      const name = names.consumer(queue, environment.randomId());
      if (source.isAgain) {
        await letters.create({ name, subjects: [names.again(queue)], start: 1, ackWaitMs: undefined });
        await lease.change({ again: name });
        this.intake.remove(source);
        this.#open(name, undefined);
        return;
      }
      const segment = lease.lease.segments.find(({ consumer }) => consumer === source.consumer);
      const filter = segment && filterOf(segment.patterns, { prefix: names.eventPrefix, several });
      if (!filter) return;
      const start = this.#floor(source, segment.after) + 1;
      await events.create({ name, subjects: filter.subjects, start, ackWaitMs: undefined });
      const mended: Segment = { ...segment, consumer: name };
      await lease.change({
        segments: lease.lease.segments.map((one) => (one === segment ? mended : one)),
      });
      await events.keep(name);
      this.intake.remove(source);
      this.#open(name, mended);
    } finally {
      this.#isMending = false;
    }
  }

  /** All up to this one is settled, or was never wanted. */
  #floor(source: Source, after: number): number {
    let floor = Math.max(after, source.highest);
    for (const { source: of, place } of this.intake.known)
      if (of === source) floor = Math.min(floor, place.sequence - 1);
    return floor;
  }

  #prune(): void {
    let lowest = this.#reached + 1;
    for (const { source, place } of this.intake.known)
      if (!source.isAgain) lowest = Math.min(lowest, place.sequence);
    for (const sequence of this.#settled) if (sequence < lowest) this.#settled.delete(sequence);
    for (const sequence of this.#settled) {
      if (this.#settled.size <= SETTLED_MAX) return;
      this.#settled.delete(sequence);
    }
  }
}
