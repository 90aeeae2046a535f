import { createActor, createMachine, type AnyActorRef } from 'xstate';
import { beforeEach, describe, expect, test } from 'vitest';
import { createGroups } from '../../actors/groups.js';
import type { SupervisorSnapshot } from '../../actors/supervision/protocol.js';
import { createSupervisor } from '../../actors/supervisor.js';
import { OptionError } from '../../src/model/errors.js';
import { World, type Manner } from './supervisor-world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
const start = (...ids: string[]): void =>
  ids.forEach((id) =>
    world.root.send({ type: 'child.start', child: world.worker(id, { restart: 'on-crash' }) }),
  );
const stop = (...ids: string[]): void => ids.forEach((id) => world.root.send({ type: 'child.stop', id }));
/** The tree as the snapshots show it. */
const tree = (): Record<string, string[]> =>
  Object.fromEntries(
    world.root
      .getSnapshot()
      .context.children.map(({ id, ref }) => [
        id,
        (ref?.getSnapshot() as SupervisorSnapshot).context.children.map((child) => child.id),
      ]),
  );
const grandchild = (id: string): AnyActorRef => world.actors.findLast(({ ref }) => ref.id === id)!.ref;

describe('groups', () => {
  test('are made when needed, and removed when empty', () => {
    world.run(createGroups({ groupSize: 2 }));
    expect(tree()).toEqual({});
    start('a', 'b', 'c');
    expect(tree()).toEqual({ 'group-1': ['a', 'b'], 'group-2': ['c'] });
    stop('c');
    expect(tree()).toEqual({ 'group-1': ['a', 'b'] });
    stop('a');
    start('d', 'e');
    expect(tree()).toEqual({ 'group-1': ['b', 'd'], 'group-3': ['e'] });
    stop('b', 'd', 'e');
    expect(tree()).toEqual({});
    expect(world.alive()).toEqual(['root']);
  });

  test('emit what their children do, and nothing about themselves', () => {
    world.run(createGroups({ groupSize: 2, intensity: 1 }));
    start('a', 'b', 'c');
    grandchild('a').send({ type: 'crash' });
    grandchild('b').send({ type: 'end' });
    grandchild('c').send({ type: 'crash' });
    grandchild('c').send({ type: 'crash' });
    stop('a');
    expect(world.types()).toEqual([
      'child.crashed a',
      'child.restarted a',
      'child.ended b',
      'child.crashed c',
      'child.restarted c',
      'child.crashed c',
      'child.gave-up c',
      'child.ended a',
    ]);
    expect(tree()).toEqual({});
  });

  test('refuse what a supervisor refuses', () => {
    world.run(createGroups());
    start('a', 'a');
    stop('x');
    world.root.send({ type: 'child.restart', id: 'a' });
    world.root.send({ type: 'child.delete', id: 'x' });
    world.root.send({ type: 'child.start', child: { id: 'y' } as never });
    expect(world.emitted).toMatchObject([
      { type: 'child.refused', request: 'child.start', id: 'a', code: 'already-started' },
      { type: 'child.refused', request: 'child.stop', id: 'x', code: 'not-found' },
      { type: 'child.refused', request: 'child.restart', id: 'a', code: 'running' },
      { type: 'child.refused', request: 'child.delete', id: 'x', code: 'not-found' },
      { type: 'child.refused', request: 'child.start', id: 'y', code: 'invalid' },
    ]);
    expect(tree()).toEqual({ 'group-1': ['a'] });
  });

  test('a child that fails for good at its start takes no place', () => {
    world.run(createGroups({ groupSize: 1, intensity: 1 }));
    world.root.send({ type: 'child.start', child: world.unstartable('x') });
    expect(world.types()).toEqual(['child.crashed x', 'child.crashed x', 'child.gave-up x']);
    expect(tree()).toEqual({});
  });

  test('a never child that crashes leaves the others of its group alone', () => {
    world.run(createGroups({ groupSize: 2 }));
    start('a');
    world.root.send({ type: 'child.start', child: world.worker('once', { restart: 'never' }) });
    grandchild('once').send({ type: 'crash' });
    expect(world.types()).toEqual(['child.crashed once', 'child.gave-up once']);
    expect(tree()).toEqual({ 'group-1': ['a'] });
  });

  test('stop ends all groups at once, each child within its deadline, and then it is done', () => {
    world.run(createGroups({ groupSize: 1 }));
    const manners: Manner[] = ['prompt', 'slow', 'stubborn'];
    for (const manner of manners) {
      world.root.send({ type: 'child.start', child: world.worker(manner, { manner, shutdownMs: 100 }) });
    }
    world.root.send({ type: 'stop' });
    start('late');
    expect(world.emitted.at(-1)).toMatchObject({ type: 'child.refused', id: 'late', code: 'stopping' });
    grandchild('slow').send({ type: 'finish' });
    world.clock.advanceAtOnce(99);
    expect(world.root.getSnapshot().status).toBe('active');
    world.clock.advanceAtOnce(1);
    expect(world.root.getSnapshot().status).toBe('done');
    expect(world.types()).toEqual([
      'child.ended prompt',
      'child.refused late',
      'child.ended slow',
      'child.killed stubborn',
    ]);
    expect(world.alive()).toEqual([]);
    expect(world.clock.pending).toBe(0);
  });

  test('stop without children is done at once', () => {
    world.run(createGroups()).send({ type: 'stop' });
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('stopped by force they leave nothing behind, and say so', () => {
    world.run(createGroups({ groupSize: 2 }));
    start('a', 'b', 'c');
    world.root.stop();
    expect(world.types().sort()).toEqual(['child.killed a', 'child.killed b', 'child.killed c']);
    expect(world.alive()).toEqual([]);
  });

  test('under a supervisor they count as one, and get all the time they need', () => {
    world.start({ children: [{ id: 'groups', logic: createGroups() }] });
    expect(world.root.getSnapshot().context.counts).toMatchObject({ supervisors: 1, workers: 0 });
    world.child('groups').send({
      type: 'child.start',
      child: world.worker('x', { manner: 'stubborn', shutdownMs: 60_000 }),
    });
    world.root.send({ type: 'stop' });
    world.clock.advanceAtOnce(60_000);
    expect(world.news()).toBe('+x -x');
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('back off as told, on the clock of the system', () => {
    world.run(createGroups({ backoff: { minDelayMs: 100, maxDelayMs: 100 }, random: () => 0.5 }));
    start('a');
    world.news();
    grandchild('a').send({ type: 'crash' });
    world.clock.advanceAtOnce(49);
    expect(world.news()).toBe('-a');
    world.clock.advanceAtOnce(1);
    expect(world.news()).toBe('+a');
  });

  test('the inspector draws a tree', () => {
    world.run(createGroups({ groupSize: 1 }));
    start('a', 'b');
    expect(world.actors.map(({ ref, parent }) => `${parent} > ${ref.id}`)).toEqual([
      'undefined > root',
      'root > group-1',
      'group-1 > a',
      'root > group-2',
      'group-2 > b',
    ]);
  });

  test('a child may start and stop others from inside its own start and stop', () => {
    const breeder = createMachine({
      entry: ({ self }) =>
        self._parent?._parent?.send({
          type: 'child.start',
          child: world.worker('b', { restart: 'on-crash' }),
        }),
      exit: ({ self }) => self._parent?._parent?.send({ type: 'child.stop', id: 'b' }),
      initial: 'on',
      states: { on: { on: { 'supervisor.stop': 'off' } }, off: { type: 'final' } },
    });
    world.run(createGroups({ groupSize: 2 }));
    world.root.send({ type: 'child.start', child: { id: 'a', logic: breeder } });
    expect(tree()).toEqual({ 'group-1': ['a', 'b'] });
    stop('a');
    expect(tree()).toEqual({});
    expect(world.types()).toEqual(['child.ended a', 'child.ended b']);
  });

  test('options that make no sense are refused at once', () => {
    expect(() => createGroups({ groupSize: 0 })).toThrow(OptionError);
    expect(() => createGroups({ intensity: -1 })).toThrow(OptionError);
  });
});

describe('10,000 children', () => {
  const machine = createMachine({
    initial: 'on',
    states: { on: { on: { 'supervisor.stop': 'off' } }, off: { type: 'final' } },
  });
  const child = (at: number) => ({ id: `child-${at}`, logic: machine, restart: 'on-crash' as const });

  function timed(run: () => void): number {
    const begin = performance.now();
    run();
    return performance.now() - begin;
  }

  /** By the real clock, so as a ratio only: one machine with 10,000 children takes 100 times as long as with 1,000. */
  function expectLinear(run: (count: number) => void): void {
    run(1_000);
    const few = timed(() => run(1_000));
    expect(timed(() => run(10_000))).toBeLessThan(few * 40);
  }

  test('in groups take ten times as long as 1,000', { timeout: 60_000 }, () => {
    expectLinear((count) => {
      const root = createActor(createGroups()).start();
      for (let at = 0; at < count; at++) root.send({ type: 'child.start', child: child(at) });
      expect(root.getSnapshot().context.counts.supervisors).toBe(count / 100);
      for (let at = 0; at < count; at += 2) root.send({ type: 'child.stop', id: `child-${at}` });
      root.send({ type: 'stop' });
      expect(root.getSnapshot().status).toBe('done');
    });
  });

  test('as static children in a tree of supervisors too', { timeout: 60_000 }, () => {
    expectLinear((count) => {
      const children = Array.from({ length: 100 }, (_, at) => child(at));
      const supervisors = Array.from({ length: count / 100 }, (_, at) => ({
        id: `supervisor-${at}`,
        logic: createSupervisor({ children }),
      }));
      const root = createActor(createSupervisor({ children: supervisors })).start();
      root.send({ type: 'stop' });
      expect(root.getSnapshot().status).toBe('done');
    });
  });
});
