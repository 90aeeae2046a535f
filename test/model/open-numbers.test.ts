import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OpenNumbers } from '../../src/model/message.js';
import { NumberSet } from '../../src/model/number-set.js';
import { OpenNumbersTracker, formatOpen, isOpen, parseOpen } from '../../src/model/open-numbers.js';

/** What is open, as ranges, however many. */
function rangesOf(open: ReadonlySet<number>, last: number): [number, number][] {
  const ranges: [number, number][] = [];
  for (let number = 1; number <= last + 1; number += 1) {
    if (!open.has(number) && number <= last) continue;
    const before = ranges.at(-1);
    if (before !== undefined && before[1] === number - 1) before[1] = number;
    else ranges.push([number, number]);
  }
  ranges.at(-1)![1] = Infinity;
  return ranges;
}

function expectWellFormed(ranges: OpenNumbers): void {
  expect(ranges.length).toBeLessThanOrEqual(8);
  let before = -1;
  for (const [from, to] of ranges) {
    expect(from).toBeGreaterThan(before + 1);
    expect(to).toBeGreaterThanOrEqual(from);
    before = to;
  }
  expect(before).toBe(Infinity);
}

const openNumbers: fc.Arbitrary<OpenNumbers> = fc
  .uniqueArray(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { minLength: 1, maxLength: 15 })
  .map((bounds) => {
    const rising = bounds.sort((a, b) => a - b);
    if (rising.length % 2 === 0) rising.pop();
    const ranges: [number, number][] = [];
    for (let index = 0; index < rising.length; index += 2)
      ranges.push([rising[index]!, rising[index + 1] ?? Infinity]);
    return ranges;
  });

describe('the open numbers of a producer', () => {
  const commands = (max: number) =>
    fc.array(fc.oneof(fc.constant('next' as const), fc.nat({ max: 1_000 })), { maxLength: max });

  test('are never too few, at most 8 ranges, and exact as long as they fit', () => {
    fc.assert(
      fc.property(commands(200), (list) => {
        const tracker = new OpenNumbersTracker();
        const open = new Set<number>();
        let last = 0;
        for (const command of list) {
          if (command === 'next') {
            last = tracker.next();
            open.add(last);
          } else if (open.size > 0) {
            const number = [...open][command % open.size]!;
            tracker.close(number);
            open.delete(number);
          }
          const ranges = tracker.ranges();
          expectWellFormed(ranges);
          for (const number of [...open, last + 1, last + 1_000]) expect(isOpen(ranges, number)).toBe(true);
          const exact = rangesOf(open, last);
          if (exact.length <= 8) expect(ranges).toEqual(exact);
        }
      }),
    );
  });

  test('count from 1', () => {
    const tracker = new OpenNumbersTracker();
    expect([tracker.next(), tracker.next()]).toEqual([1, 2]);
    expect(tracker.ranges()).toEqual([[1, Infinity]]);
  });

  test('are the same object as long as nothing was closed', () => {
    const tracker = new OpenNumbersTracker();
    for (let number = 1; number <= 20; number += 1) tracker.next();
    tracker.close(3);
    const ranges = tracker.ranges();
    tracker.next();
    tracker.close(3);
    expect(tracker.ranges()).toBe(ranges);
    tracker.close(4);
    expect(tracker.ranges()).not.toBe(ranges);
    expect(ranges).toEqual([
      [1, 2],
      [4, Infinity],
    ]);
  });

  test('leave out the widest gaps when there are more than fit', () => {
    const tracker = new OpenNumbersTracker();
    for (let number = 1; number <= 10_000; number += 1) tracker.next();
    // Ten numbers whose outcome is unknown, close to each other, long ago.
    for (let number = 1; number <= 9_990; number += 1)
      if (number % 2 === 1 || number > 20) tracker.close(number);
    tracker.close(9_992);
    const ranges = tracker.ranges();
    expect(ranges).toHaveLength(8);
    expect(ranges.at(-1)).toEqual([9_991, Infinity]);
  });

  test('forget what is long closed, in any order', () => {
    const tracker = new OpenNumbersTracker();
    for (let number = 1; number <= 5_000; number += 1) tracker.next();
    for (let number = 1; number <= 5_000; number += 1) tracker.close(((number * 1_999) % 5_000) + 1);
    expect(tracker.ranges()).toEqual([[5_001, Infinity]]);
  });

  test('cannot be closed before they were given out', () => {
    const tracker = new OpenNumbersTracker();
    tracker.next();
    for (const number of [0, 2, -1, NaN, 0.5]) expect(() => tracker.close(number)).toThrow(RangeError);
  });
});

describe('the text of open numbers', () => {
  test('reads as it was written', () => {
    fc.assert(
      fc.property(openNumbers, (open) => {
        expect(parseOpen(formatOpen(open))).toEqual(open);
      }),
    );
  });

  test('is short', () => {
    expect(
      formatOpen([
        [5, 7],
        [9, 9],
        [11, Infinity],
      ]),
    ).toBe('5-7,9,11-');
    expect(formatOpen([[1, Infinity]])).toBe('1-');
  });

  test('gives ranges or nothing, whatever it is', () => {
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom(...'0123456789-,, e.'.split(''))).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(text, (any) => {
        const open = parseOpen(any);
        if (open === undefined) return;
        expect(parseOpen(formatOpen(open))).toEqual(open);
        expect(open.at(-1)![1]).toBe(Infinity);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ['nothing', ''],
    ['no end without end', '5-7'],
    ['two ranges without end', '5-,7-'],
    ['falling ranges', '9,5-'],
    ['overlapping ranges', '5-7,7-'],
    ['a range that falls', '7-5,9-'],
    ['zero', '0-'],
    ['a leading zero', '05-'],
    ['a sign', '-5-'],
    ['a space', '5-7, 9-'],
    ['a fraction', '5.5-'],
    ['an exponent', '1e3-'],
    ['another digit', '٥-'],
    ['a number that is not exact', '9007199254740992-'],
    ['an end that is not exact', '1-9007199254740992,9007199254740993-'],
    ['nine ranges', '1,3,5,7,9,11,13,15,17-'],
    ['a comma at the end', '5-,'],
    ['a line break', '5-\n'],
    ['a megabyte', '1,'.repeat(500_000)],
  ])('is refused with %s', (_, text) => {
    expect(parseOpen(text)).toBeUndefined();
  });
});

describe('a set of numbers', () => {
  const command = fc.oneof(
    fc.record({ type: fc.constant('add' as const), number: fc.integer({ min: 1, max: 60 }) }),
    fc.record({
      type: fc.constant('remove' as const),
      first: fc.integer({ min: 0, max: 60 }),
      count: fc.integer({ min: 0, max: 15 }),
    }),
  );

  test('holds what was added and not taken away, in the fewest ranges', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80 }), (list) => {
        const set = new NumberSet();
        const model = new Set<number>();
        for (const one of list) {
          if (one.type === 'add') {
            expect(set.add(one.number)).toBe(!model.has(one.number));
            model.add(one.number);
          } else {
            set.remove(one.first, one.first + one.count - 1);
            for (let number = one.first; number < one.first + one.count; number += 1) model.delete(number);
          }
          const held: number[] = [];
          for (let index = 0; index < set.size; index += 1) {
            if (index > 0) expect(set.from(index)).toBeGreaterThan(set.to(index - 1) + 1);
            for (let number = set.from(index); number <= set.to(index); number += 1) held.push(number);
          }
          expect(held).toEqual([...model].sort((a, b) => a - b));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
