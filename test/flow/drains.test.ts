import { describe, expect, it } from 'vitest';
import { Drains } from '../../src/flow/drains.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';

/** Work that ends when it is told to, or never. */
function work() {
  let end!: () => void;
  let pastDeadline = false;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return {
    run: (deadline: Promise<void>) => {
      void deadline.then(() => (pastDeadline = true));
      return ended;
    },
    end: () => end(),
    pastDeadline: () => pastDeadline,
  };
}

function lab(timeoutMs: number) {
  const clock = new VirtualClock();
  const drains = new Drains(clock, timeoutMs);
  const over: string[] = [];
  const begin = (name: string) => {
    const one = work();
    void drains.run(one.run).then(() => over.push(name));
    return one;
  };
  return { clock, drains, over, begin };
}

describe('drains', () => {
  it('end with their work, and leave no timer behind', async () => {
    const { clock, over, begin } = lab(100);
    const [a, b] = [begin('a'), begin('b')];
    await clock.advance(50);
    a.end();
    await clock.advance(1);
    expect(over).toEqual(['a']);
    b.end();
    await clock.advance(1);
    expect(over).toEqual(['a', 'b']);
    expect(clock.pending).toBe(0);
  });

  it('tell their work of the deadline, and end a second later whatever it does', async () => {
    const { clock, over, begin } = lab(100);
    const a = begin('a');
    await clock.advance(99);
    expect(a.pastDeadline()).toBe(false);
    await clock.advance(1);
    expect(a.pastDeadline()).toBe(true);
    expect(over).toEqual([]);
    await clock.advance(1_000);
    expect(over).toEqual(['a']);
    expect(clock.pending).toBe(0);
  });

  it('share one timer when they begin in the same turn, and only then', async () => {
    const { clock, over, begin } = lab(100);
    for (let number = 0; number < 100; number++) begin(`${number}`);
    expect(clock.pending).toBe(1);
    await clock.advance(60);
    const late = begin('late');
    expect(clock.pending).toBe(2);
    await clock.advance(40);
    expect(late.pastDeadline()).toBe(false);
    await clock.advance(1_000);
    expect(over.length).toBe(100);
    await clock.advance(60);
    expect(over.at(-1)).toBe('late');
  });

  it('begin anew in a turn in which others have ended', async () => {
    const { clock, over, drains } = lab(100);
    await drains.run(() => Promise.resolve());
    const slow = work();
    void drains.run(slow.run).then(() => over.push('slow'));
    await clock.advance(100);
    expect(slow.pastDeadline()).toBe(true);
    await clock.advance(1_000);
    expect(over).toEqual(['slow']);
  });

  it('end within a new limit that is sooner', async () => {
    const { clock, drains, begin } = lab(10_000);
    const a = begin('a');
    await clock.advance(10);
    drains.limit(50);
    await clock.advance(50);
    expect(a.pastDeadline()).toBe(true);
  });
});
