import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lanes } from '../../src/flow/lanes.js';

interface Item {
  readonly name: string;
  readonly lane: string | undefined;
  readonly runsAlone: boolean;
}

/** `a1` is of lane a; `1` is of none; `1!` runs alone. */
const item = (name: string): Item => ({
  name,
  lane: /^\d/.test(name) ? undefined : name[0],
  runsAlone: name.endsWith('!'),
});

function lanes(onFailure: 'block' | 'pass', ...names: string[]) {
  const all = new Lanes<Item>(onFailure);
  const items = new Map(names.map((name) => [name, item(name)]));
  for (const one of items.values()) all.add(one);
  return { all, get: (name: string) => items.get(name)!, next: (running = 0) => all.next(running)?.name };
}

describe('lanes', () => {
  it('let items without a lane begin in order, as many as wanted', () => {
    const { next } = lanes('block', '1', '2', '3');
    expect([next(), next(), next(), next()]).toEqual(['1', '2', '3', undefined]);
  });

  it('let one of a lane begin at a time, and others pass it', () => {
    const { all, get, next } = lanes('block', 'a1', 'a2', 'b1', '1');
    expect([next(), next(), next(), next()]).toEqual(['a1', 'b1', '1', undefined]);
    all.done(get('a1'));
    expect([next(), next()]).toEqual(['a2', undefined]);
  });

  it('keep a lane, and no other, while what failed waits for its next attempt', () => {
    for (const onFailure of ['block', 'pass'] as const) {
      const { all, get, next } = lanes(onFailure, 'a1', 'a2', 'b1');
      expect(next()).toBe('a1');
      all.wait(get('a1'));
      expect([next(), next()]).toEqual(['b1', undefined]);
      all.retry(get('a1'));
      expect([next(), next()]).toEqual(['a1', undefined]);
      all.done(get('a1'));
      expect(next()).toBe('a2');
    }
  });

  it('hold back everything behind a failure without a lane, or nothing', () => {
    for (const [onFailure, expected] of [
      ['block', undefined],
      ['pass', '2'],
    ] as const) {
      const { all, get, next } = lanes(onFailure, '1', '2');
      expect(next()).toBe('1');
      all.wait(get('1'));
      expect(next()).toBe(expected);
      all.retry(get('1'));
      expect(next()).toBe('1');
    }
  });

  it('let what runs alone begin when nothing else runs, and nothing pass it meanwhile', () => {
    const { all, get, next } = lanes('pass', '1', '2!', '3');
    expect([next(), next(1), next(1), next(0)]).toEqual(['1', undefined, undefined, '2!']);
    all.wait(get('2!'));
    expect(next(0)).toBe('3');
    all.retry(get('2!'));
    all.add(item('4'));
    expect([next(1), next(0), next(0)]).toEqual([undefined, '2!', '4']);
  });

  it('never run two of a lane at once, lose nothing, and keep the order of each lane', () => {
    const names = fc.array(fc.constantFrom('a', 'b', 'c', undefined), { maxLength: 40 });
    const choices = fc.infiniteStream(fc.nat(99));
    fc.assert(
      fc.property(
        names,
        choices,
        fc.constantFrom('block' as const, 'pass' as const),
        (given, stream, onFailure) => {
          const all = new Lanes<Item>(onFailure);
          const items = given.map((lane, at) => ({ name: String(at), lane, runsAlone: at % 7 === 3 }));
          for (const one of items) all.add(one);
          const running: Item[] = [];
          const waiting: Item[] = [];
          const ended: Item[] = [];
          const choose = () => stream.next().value as number;
          for (let step = 0; step < 2_000 && ended.length < items.length; step++) {
            const what = choose() % 4;
            if (what < 2) {
              const next = all.next(running.length);
              if (next?.runsAlone) expect(running).toEqual([]);
              if (next) running.push(next);
              const busy = [...running, ...waiting].flatMap(({ lane }) => lane ?? []);
              expect(new Set(busy).size).toBe(busy.length);
            } else if (what === 2 && running.length > 0) {
              const [one] = running.splice(choose() % running.length, 1) as [Item];
              if (choose() % 3 === 0) {
                waiting.push(one);
                all.wait(one);
              } else {
                ended.push(one);
                all.done(one);
              }
            } else if (waiting.length > 0) {
              const [one] = waiting.splice(choose() % waiting.length, 1) as [Item];
              all.retry(one);
            }
          }
          expect(ended).toHaveLength(items.length);
          for (const lane of ['a', 'b', 'c'])
            expect(ended.filter((one) => one.lane === lane)).toEqual(
              items.filter((one) => one.lane === lane),
            );
        },
      ),
    );
  });
});
