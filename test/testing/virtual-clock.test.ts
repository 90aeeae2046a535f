import assert from 'node:assert/strict';
import { describe, it } from 'vitest';
import { VirtualClock, virtualEnvironment } from '../../src/testing/virtual-clock.js';

describe('VirtualClock', () => {
  it('runs timers in the order of their times, and each sees its own', async () => {
    const clock = new VirtualClock();
    const ran: [string, number][] = [];
    const note = (name: string) => () => void ran.push([name, clock.now()]);
    clock.setTimeout(note('c'), 30);
    clock.setTimeout(note('a'), 10);
    clock.setTimeout(note('b'), 10);
    clock.clearTimeout(clock.setTimeout(note('cleared'), 5));
    clock.setTimeout(note('late'), 31);
    await clock.advance(30);
    assert.deepEqual(ran, [
      ['a', 10],
      ['b', 10],
      ['c', 30],
    ]);
    assert.equal(clock.pending, 1);
    assert.equal(clock.now(), 30);
  });

  it('lets promises settle between two timers, and runs what they set', async () => {
    const clock = new VirtualClock();
    const ran: string[] = [];
    clock.setTimeout(() => {
      void (async () => {
        for (let turn = 0; turn < 100; turn++) await Promise.resolve();
        ran.push('settled');
        clock.setTimeout(() => ran.push('inner'), 5);
      })();
    }, 10);
    clock.setTimeout(() => ran.push('outer'), 20);
    await clock.advance(20);
    assert.deepEqual(ran, ['settled', 'inner', 'outer']);
  });

  it('takes calls that nobody waits for one after the other', async () => {
    const clock = new VirtualClock();
    const times: number[] = [];
    clock.setTimeout(() => times.push(clock.now()), 15);
    await Promise.all([clock.advance(10), clock.advance(10)]);
    assert.deepEqual(times, [15]);
    assert.equal(clock.now(), 20);
  });

  it('rejects when a timer throws, and goes on with the next call', async () => {
    const clock = new VirtualClock();
    let ran = false;
    clock.setTimeout(() => {
      throw new Error('no');
    }, 10);
    clock.setTimeout(() => (ran = true), 20);
    await assert.rejects(clock.advance(20), /no/);
    assert.equal(clock.now(), 10);
    await clock.advance(10);
    assert(ran);
  });

  it('steps to the next timer, and stays where it is when none is due in time', async () => {
    const clock = new VirtualClock();
    const ran: number[] = [];
    for (const due of [10, 10, 30]) clock.setTimeout(() => void ran.push(due), due);
    assert.deepEqual([await clock.step(9), clock.now()], [false, 0]);
    assert.deepEqual([await clock.step(10), clock.now(), ran], [true, 10, [10]]);
    assert.deepEqual([await clock.step(0), clock.now(), ran], [true, 10, [10, 10]]);
    assert.deepEqual([await clock.step(100), clock.now(), await clock.step(100)], [true, 30, false]);
  });

  it('advances at once where nothing has to settle, and never moves back', async () => {
    const clock = new VirtualClock();
    const ran: string[] = [];
    clock.setTimeout(() => {
      ran.push('a');
      clock.setTimeout(() => ran.push('b'), 5);
      void Promise.resolve().then(() => ran.push('settled'));
    }, 10);
    clock.advanceAtOnce(20);
    assert.deepEqual([ran, clock.now()], [['a', 'b'], 20]);
    clock.setTimeout(() => clock.advanceAtOnce(100), 1);
    await clock.advance(1);
    assert.equal(clock.now(), 121);
  });

  it('gives the same chance and names for the same seed', () => {
    const draw = (seed: number) => {
      const { random, randomId } = virtualEnvironment(seed);
      return [random(), randomId(), randomId(), random()];
    };
    assert.deepEqual(draw(1), draw(1));
    assert.notDeepEqual(draw(1), draw(2));
    const { random, randomId } = virtualEnvironment(3);
    const mean = Array.from({ length: 10_000 }, random).reduce((a, b) => a + b) / 10_000;
    assert(mean > 0.48 && mean < 0.52);
    assert.match(randomId(), /^[0-9a-v]{16}$/);
    assert.equal(new Set(Array.from({ length: 10_000 }, randomId)).size, 10_000);
  });

  it('sets the wall clock while no time passes', () => {
    const clock = new VirtualClock();
    const before = clock.wall();
    clock.shiftWall(3_600_000);
    assert.equal(clock.wall() - before, 3_600_000);
    assert.equal(clock.now(), 0);
  });
});
