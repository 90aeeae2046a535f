import { expect, it } from 'vitest';
import { eventually } from '../eventually.js';
import { createStatechart } from '../../actors/statechart.js';
import { farm } from '../master/farm.js';
import { CrashLab } from './crash-lab.js';
import { sums } from './machines.js';

it('a successor that finds nothing to do saves nothing: its first message waits for no save', async () => {
  const lab = new CrashLab(createStatechart(sums), new Set(), true);
  await lab.start();
  lab.publish('numbers.new', 1, false);
  await lab.settle();
  // What is confirmed is forgotten.
  await lab.advance(200);
  const { points } = lab;
  lab.end();
  await lab.start();
  await lab.settle();
  await lab.advance(200);
  expect(lab.points).toBe(points);
  lab.publish('numbers.new', 2, false);
  await lab.settle();
  expect(lab.taken.map(({ payload }) => payload.value())).toEqual([1, 3]);
  expect(lab.unsettled).toBe(0);
  lab.end();
});

it('a scheduler that is paused again and again keeps what it had before the first time', async () => {
  const master = await farm()('one');
  const heard: unknown[] = [];
  await master.subscribe('sums.*', ({ data }) => void heard.push(data));
  const scheduler = await master.schedule('sums', { bindings: ['numbers.*'], logic: sums });
  await master.publish('numbers.new', 1);
  await eventually('1 sum is heard', () => heard.length === 1);
  let opened = 0;
  master.on('owner', ({ status }) => void (opened += Number(status === 'active')));
  for (let pause = 1; pause <= 3; pause++) {
    scheduler.pause();
    await scheduler.until('paused');
    scheduler.resume();
    await eventually('it goes on', () => opened === pause);
  }
  await master.publish('numbers.new', 2);
  await eventually('2 sums are heard', () => heard.length === 2);
  expect(heard).toEqual([1, 3]);
});
