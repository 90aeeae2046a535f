import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Deadlines, type Dated } from '../../src/flow/deadlines.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';

class Item implements Dated {
  dueAt = 0;
  deadlines: object | undefined;
  earlier: this | undefined;
  later: this | undefined;
  constructor(readonly name: string) {}
}

function lab(graceMs = 0) {
  const clock = new VirtualClock();
  const told: string[] = [];
  const deadlines = new Deadlines<Item>({
    clock,
    graceMs,
    due: ({ name }) => told.push(`${name} at ${clock.now()}`),
  });
  return { clock, told, deadlines };
}

describe('deadlines', () => {
  it('are told once they have passed, within the grace', async () => {
    const { clock, told, deadlines } = lab(5);
    deadlines.add(new Item('a'), 100);
    deadlines.add(new Item('b'), 50);
    deadlines.add(new Item('c'), 52);
    await clock.advance(1_000);
    expect(told).toEqual(['b at 55', 'c at 55', 'a at 105']);
    expect(deadlines.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('move when the item is added again, and go when it is deleted', async () => {
    const { clock, told, deadlines } = lab();
    const [a, b] = [new Item('a'), new Item('b')];
    deadlines.add(a, 50);
    deadlines.add(b, 60);
    await clock.advance(40);
    deadlines.add(a, 50);
    expect(deadlines.size).toBe(2);
    expect(deadlines.first).toBe(b);
    expect(deadlines.delete(b)).toBe(true);
    expect(deadlines.delete(b)).toBe(false);
    await clock.advance(100);
    expect(told).toEqual(['a at 90']);
  });

  it('set no timer for what ends in the turn in which it was added', () => {
    const { clock, deadlines } = lab();
    let reads = 0;
    const { now } = clock;
    Object.assign(clock, { now: () => ((reads += 1), now()) });
    const item = new Item('a');
    deadlines.add(item, 50);
    deadlines.delete(item);
    expect(clock.pending).toBe(0);
    expect(reads).toBe(0);
  });

  it('leave no timer behind when nothing is left', async () => {
    const { clock, deadlines } = lab();
    const item = new Item('a');
    deadlines.add(item, 50);
    await clock.advance(1);
    expect(clock.pending).toBe(1);
    deadlines.delete(item);
    await clock.advance(1);
    expect(clock.pending).toBe(0);
    deadlines.add(item, 50);
    await clock.advance(1);
    deadlines.clear();
    expect(clock.pending).toBe(0);
    expect(deadlines.items()).toEqual([]);
  });

  it('may be set again by whoever is told', async () => {
    const { clock } = lab();
    const told: number[] = [];
    const deadlines: Deadlines<Item> = new Deadlines({
      clock,
      graceMs: 0,
      due: (item) => {
        told.push(clock.now());
        if (told.length < 3) deadlines.add(item, 10);
      },
    });
    deadlines.add(new Item('a'), 10);
    await clock.advance(100);
    expect(told).toEqual([10, 20, 30]);
  });

  it('do as a plain list does', async () => {
    const names = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.oneof(
      fc.record({ type: fc.constant('add' as const), name: names, ms: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ type: fc.constant('delete' as const), name: names }),
      fc.record({ type: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 30 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { clock, told, deadlines } = lab();
        const items = new Map(['a', 'b', 'c', 'd'].map((name) => [name, new Item(name)]));
        const model = new Map<string, number>();
        const expected = new Set<string>();
        for (const one of [...steps, { type: 'pass' as const, ms: 100 }]) {
          if (one.type === 'add') {
            model.delete(one.name);
            model.set(one.name, clock.now() + one.ms);
            deadlines.add(items.get(one.name)!, one.ms);
          } else if (one.type === 'delete') {
            expect(deadlines.delete(items.get(one.name)!)).toBe(model.delete(one.name));
          } else {
            const end = clock.now() + one.ms;
            for (const [name, at] of model) {
              if (at > end) continue;
              expected.add(`${name} at ${at}`);
              model.delete(name);
            }
            await clock.advance(one.ms);
          }
          expect(deadlines.items().map(({ name }) => name)).toEqual([...model.keys()]);
          expect(deadlines.size).toBe(model.size);
        }
        expect(new Set(told)).toEqual(expected);
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
