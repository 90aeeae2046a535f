import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bag } from '../../src/model/bag.js';
import { TurnoverMap } from '../../src/model/turnover-map.js';

test('a bag holds what a Set holds', () => {
  const step = fc.tuple(fc.constantFrom('add', 'delete', 'clear'), fc.nat(9));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const items = Array.from({ length: 10 }, (_, name) => ({ name, place: -1 }));
      const bag = new Bag<(typeof items)[number]>();
      const set = new Set<(typeof items)[number]>();
      for (const [what, at] of steps) {
        const item = items[at]!;
        // One that goes out of its turn is rare.
        if (what === 'clear' && at > 0) continue;
        const before = set.has(item);
        if (what === 'delete') expect(bag.delete(item)).toBe(before);
        else if (what === 'add') bag.add(item);
        else bag.clear();
        if (what === 'delete') set.delete(item);
        else if (what === 'add') set.add(item);
        else set.clear();
        expect(items.filter((one) => bag.has(one))).toEqual(items.filter((one) => set.has(one)));
      }
      expect(bag.size).toBe(set.size);
      expect(new Set(bag)).toEqual(set);
    }),
  );
});

test('a map with a turnover holds what a Map holds, in its order', () => {
  const turnover = new TurnoverMap<number, string>();
  const map = new Map<number, string>();
  for (let key = 0; key < 10_000; key++) {
    turnover.set(key, `${key}`);
    map.set(key, `${key}`);
    // Some stay for long.
    const gone = key - (key % 7 === 0 ? 900 : 20);
    expect(turnover.delete(gone)).toBe(map.delete(gone));
    expect(turnover.delete(-1)).toBe(false);
  }
  expect([...turnover.values()]).toEqual([...map.values()]);
  expect(turnover.size).toBe(map.size);
  expect(turnover.get(9_999)).toBe('9999');
  turnover.clear();
  expect([turnover.size, turnover.get(9_999)]).toEqual([0, undefined]);
});
