import { DecodeError } from './errors.js';
import type { OpenNumbers, Origin } from './message.js';
import { NumberSet, isOpen } from './open-numbers.js';

export interface DuplicateFilterOptions {
  /** A producer not heard of for so long is forgotten: its re-sent copies are handed over. */
  readonly producerMemoryMs: number;
  /** The producer not heard of for the longest time is forgotten when there are more. */
  readonly producersMax?: number;
  /** Ranges of seen numbers of one producer: its lowest is forgotten when there are more. */
  readonly rangesMax?: number;
  /** Ranges of all producers together, 16 bytes each: as with `producersMax`. */
  readonly totalRangesMax?: number;
}

/** What a filter remembers, for a checkpoint: plain data, JSON can hold it. */
export interface DuplicateFilterSnapshot {
  readonly producers: readonly {
    readonly producer: string;
    readonly heardAt: number;
    /** First and last of each range, in rising order. */
    readonly seen: readonly number[];
  }[];
}

interface Producer {
  readonly name: string;
  seen: NumberSet;
  heardAt: number;
  open: OpenNumbers;
}

/**
 * Which messages were handed over before. Of each producer it remembers exactly the numbers that it has seen and that
 * are still open, and forgets the others: no copy of them can come. It errs on one side only: what it forgot too early,
 * for its limits, is handed over again; what was never handed over is never taken for a duplicate.
 *
 * Times are Unix milliseconds, so that a checkpoint means the same to another master.
 */
export class DuplicateFilter {
  // In the order in which they were last heard of.
  readonly #producers = new Map<string, Producer>();
  readonly #producerMemoryMs: number;
  readonly #producersMax: number;
  readonly #rangesMax: number;
  readonly #totalRangesMax: number;
  #latest: Producer | undefined;
  #totalRanges = 0;

  constructor(options: DuplicateFilterOptions) {
    this.#producerMemoryMs = options.producerMemoryMs;
    this.#producersMax = options.producersMax ?? 10_000;
    this.#rangesMax = options.rangesMax ?? 100_000;
    this.#totalRangesMax = options.totalRangesMax ?? 1_000_000;
  }

  /** Whether a copy was seen before; from now on one was. */
  seen(origin: Origin, now: number): boolean {
    const producer = this.#producerOf(origin.producer, now);
    const { seen } = producer;
    const before = seen.size;
    if (origin.open !== producer.open) {
      producer.open = origin.open;
      forgetClosed(seen, origin.open);
    }
    const isNew = !isOpen(origin.open, origin.sequence) || seen.add(origin.sequence);
    if (seen.size !== before) this.#keepLimits(seen, before);
    return !isNew;
  }

  /** Takes back what `seen` noted: the delivery was not handled and will come again. */
  forget(origin: Origin): void {
    const seen = this.#producers.get(origin.producer)?.seen;
    if (seen === undefined) return;
    const before = seen.size;
    seen.remove(origin.sequence, origin.sequence);
    this.#keepLimits(seen, before);
  }

  snapshot(): DuplicateFilterSnapshot {
    const producers = Array.from(this.#producers.values(), ({ name, heardAt, seen }) => {
      const ranges: number[] = [];
      for (let index = 0; index < seen.size; index += 1) ranges.push(seen.from(index), seen.to(index));
      return { producer: name, heardAt, seen: ranges };
    });
    return { producers };
  }

  /** A filter that knows what the other knew. Throws `DecodeError` for what is no snapshot. */
  static restore(snapshot: unknown, options: DuplicateFilterOptions): DuplicateFilter {
    const filter = new DuplicateFilter(options);
    const { producers } = (snapshot ?? {}) as { producers?: unknown };
    for (const item of listOf(producers)) {
      const { producer, heardAt, seen } = (item ?? {}) as {
        producer?: unknown;
        heardAt?: unknown;
        seen?: unknown;
      };
      if (typeof producer !== 'string' || typeof heardAt !== 'number') throw malformed();
      if (filter.#producers.has(producer)) throw malformed();
      const restored = filter.#producerOf(producer, heardAt);
      restored.seen = setOf(listOf(seen));
      filter.#keepLimits(restored.seen, 0);
    }
    return filter;
  }

  #producerOf(name: string, now: number): Producer {
    let producer = this.#latest;
    if (producer?.name !== name) {
      producer = this.#producers.get(name);
      if (producer === undefined) {
        this.#dropOld(now);
        producer = { name, seen: new NumberSet(), heardAt: now, open: [] };
      }
      this.#producers.delete(name);
      this.#producers.set(name, producer);
      this.#latest = producer;
    }
    if (producer.heardAt + this.#producerMemoryMs < now) {
      this.#totalRanges -= producer.seen.size;
      producer.seen = new NumberSet();
    }
    producer.heardAt = now;
    return producer;
  }

  #keepLimits(seen: NumberSet, before: number): void {
    while (seen.size > this.#rangesMax) seen.remove(0, seen.to(0));
    this.#totalRanges += seen.size - before;
    for (const oldest of this.#producers.values()) {
      if (this.#totalRanges <= this.#totalRangesMax || this.#producers.size === 1) break;
      this.#drop(oldest);
    }
  }

  /** Makes room for one more producer. */
  #dropOld(now: number): void {
    for (const oldest of this.#producers.values()) {
      const expired = oldest.heardAt + this.#producerMemoryMs < now;
      if (!expired && this.#producers.size < this.#producersMax) break;
      this.#drop(oldest);
    }
  }

  #drop(producer: Producer): void {
    this.#producers.delete(producer.name);
    this.#totalRanges -= producer.seen.size;
  }
}

function forgetClosed(seen: NumberSet, open: OpenNumbers): void {
  let from = 0;
  for (const range of open) {
    if (seen.size === 0) return;
    if (seen.from(0) < range[0]) seen.remove(from, range[0] - 1);
    from = range[1] + 1;
  }
}

function setOf(bounds: readonly unknown[]): NumberSet {
  const set = new NumberSet();
  for (let index = 0; index < bounds.length; index += 2) {
    const [first, last] = [bounds[index], bounds[index + 1]];
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) throw malformed();
    if ((first as number) > (last as number) || !set.append(first as number, last as number))
      throw malformed();
  }
  return set;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed();
  return value;
}

function malformed(): DecodeError {
  return new DecodeError('What a checkpoint says about duplicates is malformed.');
}
