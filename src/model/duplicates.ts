import { DecodeError } from './errors.js';
import type { OpenNumbers, Origin } from './message.js';
import { NumberSet } from './number-set.js';
import { isOpen } from './open-numbers.js';

export interface DuplicateFilterOptions {
  /** A producer not heard of for so long is forgotten: its re-sent copies are handed over. */
  readonly producerMemoryMs: number;
  /** When there are more than so many (10,000), the producer not heard of for the longest time is forgotten. */
  readonly producersMax?: number;
  /** When one producer has more than so many ranges of seen numbers (50,000), its lowest is forgotten. */
  readonly rangesMax?: number;
  /** When all together have more (1,000,000, of 16 bytes each), producers are forgotten as above. */
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
  /** The producers heard of just before and just after this one. */
  older: Producer | undefined;
  newer: Producer | undefined;
}

/**
 * Which messages were handed over before. Of each producer it remembers exactly the numbers that it has seen and that
 * are still open, and forgets the others: no copy of them can come. It errs on one side only: what it forgot too early,
 * for its limits, is handed over again; what was never handed over is never taken for a duplicate.
 *
 * Times are Unix milliseconds, so that a checkpoint means the same to another master.
 */
export class DuplicateFilter {
  readonly #producers = new Map<string, Producer>();
  readonly #producerMemoryMs: number;
  readonly #producersMax: number;
  readonly #rangesMax: number;
  readonly #totalRangesMax: number;
  // The ends of a chain of all producers: a Map that is kept in this order takes microseconds for each that goes.
  #oldest: Producer | undefined;
  #latest: Producer | undefined;
  #totalRanges = 0;

  constructor(options: DuplicateFilterOptions) {
    this.#producerMemoryMs = options.producerMemoryMs;
    this.#producersMax = options.producersMax ?? 10_000;
    this.#rangesMax = options.rangesMax ?? 50_000;
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
    const producers: { producer: string; heardAt: number; seen: number[] }[] = [];
    for (let producer = this.#oldest; producer !== undefined; producer = producer.newer) {
      const { name, heardAt, seen } = producer;
      const bounds: number[] = [];
      for (let index = 0; index < seen.size; index += 1) bounds.push(seen.from(index), seen.to(index));
      producers.push({ producer: name, heardAt, seen: bounds });
    }
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
    if (this.#latest?.name !== name) this.#makeLatest(name, now);
    const producer = this.#latest!;
    if (this.#isExpired(producer, now)) {
      this.#totalRanges -= producer.seen.size;
      producer.seen = new NumberSet();
    }
    producer.heardAt = now;
    return producer;
  }

  #makeLatest(name: string, now: number): void {
    let producer = this.#producers.get(name);
    if (producer === undefined) {
      for (let oldest = this.#oldest; oldest !== undefined; oldest = this.#oldest) {
        if (this.#producers.size < this.#producersMax && !this.#isExpired(oldest, now)) break;
        this.#drop(oldest);
      }
      producer = { name, seen: new NumberSet(), heardAt: now, open: [], older: undefined, newer: undefined };
      this.#producers.set(name, producer);
    } else {
      this.#unlink(producer);
    }
    producer.older = this.#latest;
    if (this.#latest === undefined) this.#oldest = producer;
    else this.#latest.newer = producer;
    this.#latest = producer;
  }

  #isExpired(producer: Producer, now: number): boolean {
    return producer.heardAt + this.#producerMemoryMs < now;
  }

  #keepLimits(seen: NumberSet, before: number): void {
    while (seen.size > this.#rangesMax) seen.remove(0, seen.to(0));
    this.#totalRanges += seen.size - before;
    while (this.#totalRanges > this.#totalRangesMax && this.#producers.size > 1) this.#drop(this.#oldest!);
  }

  #drop(producer: Producer): void {
    this.#producers.delete(producer.name);
    this.#totalRanges -= producer.seen.size;
    this.#unlink(producer);
  }

  #unlink(producer: Producer): void {
    const { older, newer } = producer;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#latest = older;
    else newer.older = older;
    producer.older = undefined;
    producer.newer = undefined;
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
