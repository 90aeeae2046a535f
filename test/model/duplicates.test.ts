import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DuplicateFilter } from '../../src/model/duplicates.js';
import { DecodeError } from '../../src/model/errors.js';
import type { OpenNumbers, Origin } from '../../src/model/message.js';
import { OpenNumbersTracker, isOpen } from '../../src/model/open-numbers.js';

const day = 86_400_000;
const endless: OpenNumbers = [[1, Infinity]];

function origin(producer: string, sequence: number, open: OpenNumbers = endless): Origin {
  return { producer, sequence, open };
}

function newFilter(): DuplicateFilter {
  return new DuplicateFilter({ producerMemoryMs: day });
}

/**
 * A producer, a broker's queue and a consumer that is bound to some of the messages only. Copies on their way to the
 * broker may be slow; a number is closed when none is. The queue is in order, except for what a consumer gives back.
 */
class World {
  readonly #tracker = new OpenNumbersTracker();
  readonly #open: number[] = [];
  readonly #underWay: Origin[] = [];
  readonly #queue: Origin[] = [];
  readonly #handled = new Set<number>();
  #taken: Origin | undefined;
  filter = newFilter();

  constructor(
    readonly name: string,
    readonly everyNth: number,
  ) {}

  publish(count: number): void {
    for (let n = 0; n < count; n += 1) {
      const number = this.#tracker.next();
      this.#open.push(number);
      this.#send(number);
    }
  }

  sendAgain(pick: number): void {
    const number = this.#open[pick % this.#open.length];
    if (number !== undefined) this.#send(number);
  }

  arrive(pick: number, fate: 'taken' | 'lost'): void {
    const [copy] = this.#underWay.splice(pick % Math.max(1, this.#underWay.length), 1);
    if (copy !== undefined && fate === 'taken' && copy.sequence % this.everyNth === 0) this.#queue.push(copy);
  }

  close(pick: number): void {
    const at = pick % Math.max(1, this.#open.length);
    const number = this.#open[at];
    if (number === undefined || this.#underWay.some((copy) => copy.sequence === number)) return;
    this.#open.splice(at, 1);
    this.#tracker.close(number);
  }

  consume(): void {
    const copy = this.#queue.shift();
    if (copy === undefined) return;
    const duplicate = this.filter.seen(copy, 0);
    expect(duplicate, `${copy.sequence} taken for a duplicate`).toBe(this.#handled.has(copy.sequence));
    if (duplicate) return;
    this.#handled.add(copy.sequence);
    this.#taken = copy;
  }

  giveBack(): void {
    if (this.#taken === undefined) return;
    this.filter.forget(this.#taken);
    this.#handled.delete(this.#taken.sequence);
    this.#queue.unshift(this.#taken);
    this.#taken = undefined;
  }

  /** Another master goes on from the checkpoint. */
  takeOver(): void {
    const checkpoint: unknown = JSON.parse(JSON.stringify(this.filter.snapshot()));
    this.filter = DuplicateFilter.restore(checkpoint, { producerMemoryMs: day });
    expect(this.filter.snapshot()).toEqual(checkpoint);
  }

  #send(sequence: number): void {
    this.#underWay.push({ producer: this.name, sequence, open: this.#tracker.ranges() });
  }
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('publish' as const), pick: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('sendAgain' as const), pick: fc.nat() }) },
  // Most arrive in order, some overtake.
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('arrive' as const), pick: fc.oneof(fc.constant(0), fc.nat()) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), pick: fc.nat() }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('close' as const), pick: fc.oneof(fc.constant(0), fc.nat()) }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('consume' as const), pick: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('giveBack' as const), pick: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('takeOver' as const), pick: fc.constant(0) }) },
);

describe('a filter of duplicates', () => {
  test('hands over every message once, whatever the producer and the network do', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 300, size: 'max' }),
        fc.constantFrom(1, 2, 3),
        (steps, everyNth) => {
          const world = new World('p', everyNth);
          for (const { do: what, pick } of steps) {
            if (what === 'arrive') world.arrive(pick, 'taken');
            else if (what === 'lose') world.arrive(pick, 'lost');
            else world[what](pick);
          }
          for (let n = 0; n < 2_000; n += 1) {
            world.arrive(0, 'taken');
            world.consume();
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  const producer = fc.constantFrom('a', 'b', 'c');
  const open = fc
    .uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 15 })
    .map((bounds): OpenNumbers => {
      const rising = bounds.sort((a, b) => a - b);
      if (rising.length % 2 === 0) rising.pop();
      const ranges: [number, number][] = [];
      for (let index = 0; index < rising.length; index += 2) {
        ranges.push([rising[index]!, rising[index + 1] ?? Infinity]);
      }
      return ranges;
    });
  const call = fc.record({
    forget: fc.boolean(),
    origin: fc.record({ producer, sequence: fc.integer({ min: 1, max: 45 }), open }),
    later: fc.constantFrom(0, 1, day, day + 1),
  });

  test('knows of each producer exactly the open numbers that it has seen, also after a checkpoint', () => {
    fc.assert(
      fc.property(
        fc.array(call, { maxLength: 60, size: 'max' }),
        fc.nat({ max: 60 }),
        (calls, checkpointAt) => {
          let filter = newFilter();
          const model = new Map<string, { seen: Set<number>; heardAt: number }>();
          let now = 0;
          for (const [at, { forget, origin: from, later }] of calls.entries()) {
            now += later;
            if (at === checkpointAt)
              filter = DuplicateFilter.restore(filter.snapshot(), { producerMemoryMs: day });
            if (forget) {
              filter.forget(from);
              model.get(from.producer)?.seen.delete(from.sequence);
              continue;
            }
            const known = model.get(from.producer);
            const before = known === undefined || now - known.heardAt > day ? new Set<number>() : known.seen;
            const seen = new Set([...before].filter((number) => isOpen(from.open, number)));
            expect(filter.seen(from, now)).toBe(seen.has(from.sequence));
            if (isOpen(from.open, from.sequence)) seen.add(from.sequence);
            model.set(from.producer, { seen, heardAt: now });
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('recognises a late first copy behind a later message', () => {
    const filter = newFilter();
    expect(filter.seen(origin('p', 5, [[5, Infinity]]), 0)).toBe(false);
    expect(filter.seen(origin('p', 6, [[5, Infinity]]), 0)).toBe(false);
    expect(filter.seen(origin('p', 5, [[1, Infinity]]), 0)).toBe(true);
  });

  test('sees every hundredth of many open numbers', () => {
    const filter = newFilter();
    for (let number = 100; number <= 1_000_000; number += 100)
      expect(filter.seen(origin('p', number), 0)).toBe(false);
    for (let number = 1_000_000; number >= 100; number -= 100)
      expect(filter.seen(origin('p', number), 0)).toBe(true);
    expect(filter.seen(origin('p', 50), 0)).toBe(false);
    expect(filter.snapshot().producers[0]!.seen).toHaveLength(2 * 10_001);
    filter.seen(origin('p', 1_000_001, [[900_000, Infinity]]), 0);
    expect(filter.snapshot().producers[0]!.seen).toHaveLength(2 * 1_001);
  });

  test('takes back what was not handled', () => {
    const filter = newFilter();
    filter.seen(origin('p', 1), 0);
    filter.forget(origin('p', 1));
    filter.forget(origin('nobody', 1));
    expect(filter.seen(origin('p', 1), 0)).toBe(false);
    expect(filter.seen(origin('p', 1), 0)).toBe(true);
  });

  test('never takes a number for a duplicate that its own message does not call open', () => {
    const filter = newFilter();
    filter.seen(origin('p', 1), 0);
    expect(filter.seen(origin('p', 1, [[2, Infinity]]), 0)).toBe(false);
    expect(filter.seen(origin('p', 1, [[2, Infinity]]), 0)).toBe(false);
  });

  test('forgets a producer that was not heard of for producerMemoryMs', () => {
    const filter = newFilter();
    filter.seen(origin('p', 1), 0);
    expect(filter.seen(origin('p', 1), day)).toBe(true);
    expect(filter.seen(origin('p', 1), 2 * day + 1)).toBe(false);
    filter.seen(origin('q', 1), 4 * day);
    expect(filter.snapshot().producers.map(({ producer: name }) => name)).toEqual(['q']);
  });

  test('forgets the producer not heard of for the longest time when there are too many', () => {
    const filter = new DuplicateFilter({ producerMemoryMs: day, producersMax: 3 });
    for (const name of ['a', 'b', 'c', 'a', 'd']) filter.seen(origin(name, 1), 0);
    expect(filter.snapshot().producers.map(({ producer: name }) => name)).toEqual(['c', 'a', 'd']);
    expect(filter.seen(origin('b', 1), 0)).toBe(false);
  });

  test('forgets the lowest numbers of a producer that leaves too many gaps', () => {
    const filter = new DuplicateFilter({ producerMemoryMs: day, rangesMax: 3 });
    for (const number of [7, 1, 5, 3]) filter.seen(origin('p', number), 0);
    expect(filter.snapshot().producers[0]!.seen).toEqual([3, 3, 5, 5, 7, 7]);
  });

  test('forgets producers when all together leave too many gaps', () => {
    const filter = new DuplicateFilter({ producerMemoryMs: day, rangesMax: 4, totalRangesMax: 5 });
    for (const number of [1, 3, 5]) for (const name of ['a', 'b']) filter.seen(origin(name, number), 0);
    expect(filter.snapshot().producers).toEqual([{ producer: 'b', heardAt: 0, seen: [1, 1, 3, 3, 5, 5] }]);
  });

  test('stays within its limits under hostile origins', () => {
    const options = { producerMemoryMs: day, producersMax: 20, rangesMax: 30, totalRangesMax: 100 };
    const hostile = fc.record({
      producer: fc.integer({ max: 50, min: 0 }).map(String),
      sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      open: fc.oneof(open, fc.constant(endless)),
    });
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 1_000, size: 'max' }), (origins) => {
        const filter = new DuplicateFilter(options);
        for (const [now, one] of origins.entries()) filter.seen(one, now);
        const { producers } = filter.snapshot();
        expect(producers.length).toBeLessThanOrEqual(20);
        const sizes = producers.map(({ seen }) => seen.length / 2);
        expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(30);
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(100);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['no list', { producers: {} }],
    ['a producer that is none', { producers: [null] }],
    ['a name that is none', { producers: [{ producer: 1, heardAt: 0, seen: [] }] }],
    ['a time that is none', { producers: [{ producer: 'p', heardAt: 'x', seen: [] }] }],
    ['an odd bound', { producers: [{ producer: 'p', heardAt: 0, seen: [1] }] }],
    ['a fraction', { producers: [{ producer: 'p', heardAt: 0, seen: [1, 1.5] }] }],
    ['a range that falls', { producers: [{ producer: 'p', heardAt: 0, seen: [2, 1] }] }],
    ['falling ranges', { producers: [{ producer: 'p', heardAt: 0, seen: [5, 6, 1, 2] }] }],
    ['a producer twice', { producers: Array(2).fill({ producer: 'p', heardAt: 0, seen: [] }) }],
  ])('refuses a checkpoint with %s', (_, snapshot) => {
    expect(() => DuplicateFilter.restore(snapshot, { producerMemoryMs: day })).toThrow(DecodeError);
  });

  test('keeps its limits when it is restored', () => {
    const filter = newFilter();
    for (const name of ['a', 'b', 'c']) for (const number of [1, 3, 5]) filter.seen(origin(name, number), 0);
    const options = { producerMemoryMs: day, producersMax: 2, rangesMax: 2, totalRangesMax: 3 };
    expect(DuplicateFilter.restore(filter.snapshot(), options).snapshot().producers).toEqual([
      { producer: 'c', heardAt: 0, seen: [3, 3, 5, 5] },
    ]);
  });
});
