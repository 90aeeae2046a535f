import { describe, expect, it } from 'vitest';
import { Turns } from '../../src/flow/turns.js';
import type { Clock } from '../../src/model/clock.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Time that passes while a task runs. */
function lab() {
  let at = 0;
  let wallReads = 0;
  const clock = { now: () => at, wall: () => ((wallReads += 1), 1_000 + at) } as unknown as Clock;
  const errors: unknown[] = [];
  return {
    turns: new Turns(clock, (error) => errors.push(error)),
    errors,
    pass: (ms: number) => void (at += ms),
    wallReads: () => wallReads,
  };
}

/** A task of so many steps. */
function steps(count: number, step: (done: number) => void) {
  let done = 0;
  return {
    run: () => {
      step((done += 1));
      return done < count;
    },
    broke: () => {},
    done: () => done,
  };
}

describe('turns', () => {
  it('call tasks by turns, and never from inside the call that scheduled them', async () => {
    const { turns } = lab();
    const called: string[] = [];
    turns.schedule(steps(2, (done) => called.push(`a${done}`)));
    turns.schedule(steps(2, (done) => called.push(`b${done}`)));
    expect(called).toEqual([]);
    await Promise.resolve();
    expect(called).toEqual(['a1', 'b1', 'a2', 'b2']);
  });

  it('let the event loop go on when the work takes long, and go on after it', async () => {
    const { turns, pass } = lab();
    const task = steps(100, () => pass(1));
    turns.schedule(task);
    await Promise.resolve();
    expect(task.done()).toBe(32);
    await turn();
    expect(task.done()).toBe(64);
    await turn();
    await turn();
    expect(task.done()).toBe(100);
  });

  it('go on when the process only had to wait for its core', async () => {
    const { turns, pass } = lab();
    const task = steps(1_000, (done) => pass(done === 20 ? 50 : 0));
    turns.schedule(task);
    await Promise.resolve();
    expect(task.done()).toBe(1_000);
  });

  it('go on when a task throws, and tell of it', async () => {
    const { turns, errors } = lab();
    const other = steps(3, () => {});
    const told: unknown[] = [];
    turns.schedule({
      run: () => {
        throw new Error('broken');
      },
      broke: (error) => told.push(error),
    });
    turns.schedule(other);
    await Promise.resolve();
    expect(other.done()).toBe(3);
    expect([errors, told]).toEqual([[new Error('broken')], [new Error('broken')]]);
  });

  it('read the wall clock once while tasks wait, and anew afterwards', async () => {
    const { turns, pass, wallReads } = lab();
    expect(turns.wall).toBe(1_000);
    pass(7);
    expect(turns.wall).toBe(1_007);
    turns.schedule(steps(1, () => {}));
    pass(7);
    expect(turns.wall).toBe(1_014);
    pass(7);
    expect(turns.wall).toBe(1_014);
    expect(wallReads()).toBe(3);
    await Promise.resolve();
    expect(turns.wall).toBe(1_021);
  });
});
