import { createMachine } from 'xstate';
import { beforeEach, describe, expect, test } from 'vitest';
import type { SupervisorEvent } from '../../actors/supervision/protocol.js';
import { World } from './supervisor-world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
const send = (...events: SupervisorEvent[]): void => events.forEach((event) => world.root.send(event));
const refusals = (): string[] =>
  world.emitted.flatMap((event) =>
    event.type === 'child.refused' ? [`${event.request} ${event.id}: ${event.code}`] : [],
  );

describe('static children', () => {
  test('a stopped one is kept, can be restarted, and deleted', () => {
    world.start({ children: [world.worker('a'), world.worker('b')] });
    send({ type: 'child.stop', id: 'a' });
    expect(world.statuses()).toEqual({ a: 'stopped', b: 'running' });
    expect(world.root.getSnapshot().context.counts).toEqual({
      specs: 2,
      active: 1,
      supervisors: 0,
      workers: 2,
    });
    send({ type: 'child.restart', id: 'a' });
    expect(world.statuses()).toEqual({ a: 'running', b: 'running' });
    expect(world.types()).toEqual(['child.ended a', 'child.restarted a']);
    send({ type: 'child.stop', id: 'a' }, { type: 'child.delete', id: 'a' });
    expect(world.statuses()).toEqual({ b: 'running' });
    expect(refusals()).toEqual([]);
  });

  test('a restart on request does not count', () => {
    world.start({ intensity: 1, children: [world.worker('a')] });
    for (let round = 0; round < 10; round++)
      send({ type: 'child.stop', id: 'a' }, { type: 'child.restart', id: 'a' });
    world.crash('a');
    expect(world.statuses()).toEqual({ a: 'running' });
  });

  test('a restart on request during the restart of its group is part of it', () => {
    const slow = world.worker('c', { manner: 'slow' });
    world.start({ strategy: 'one-for-all', children: [world.worker('a'), world.worker('b'), slow] });
    world.crash('b');
    send({ type: 'child.stop', id: 'b' }, { type: 'child.restart', id: 'b' });
    world.news();
    world.child('c').send({ type: 'finish' });
    expect(world.news()).toBe('-c -a +a +b +c');
  });

  test('a member of a restarting group can be stopped for good', () => {
    const slow = world.worker('c', { manner: 'slow' });
    world.start({ strategy: 'one-for-all', children: [world.worker('a'), world.worker('b'), slow] });
    world.crash('a');
    send({ type: 'child.stop', id: 'c' }, { type: 'child.stop', id: 'b' });
    world.news();
    world.child('c').send({ type: 'finish' });
    expect(world.news()).toBe('-c +a');
    expect(world.statuses()).toEqual({ a: 'running', b: 'stopped', c: 'stopped' });
  });
});

describe('dynamic children', () => {
  test('are started by event and forgotten when they end normally', () => {
    world.start({});
    send({ type: 'child.start', child: world.worker('x', { restart: 'on-crash' }) });
    world.crash('x');
    expect(world.statuses()).toEqual({ x: 'running' });
    world.child('x').send({ type: 'end' });
    expect(world.news()).toBe('+x -x +x -x');
    expect(world.root.getSnapshot().context).toEqual({
      children: [],
      counts: { specs: 0, active: 0, supervisors: 0, workers: 0 },
    });
  });

  test('are forgotten when stopped, so that the id is free', () => {
    world.start({});
    send({ type: 'child.start', child: world.worker('x') }, { type: 'child.stop', id: 'x' });
    send({ type: 'child.start', child: world.worker('x') });
    expect(world.news()).toBe('+x -x +x');
    expect(refusals()).toEqual([]);
  });

  test('one over its own budget is given up alone', () => {
    world.start({ intensity: 2, periodMs: 100, children: [world.worker('a')] });
    send(
      { type: 'child.start', child: world.worker('x') },
      { type: 'child.start', child: world.worker('y') },
    );
    for (let round = 0; round < 3; round++) world.crash('x');
    for (let round = 0; round < 2; round++) world.crash('y');
    for (let round = 0; round < 2; round++) world.crash('a');
    expect(world.statuses()).toEqual({ a: 'running', y: 'running' });
    expect(world.emitted.filter(({ type }) => type === 'child.gave-up')).toMatchObject([
      { id: 'x', error: { code: 'ERR_RESTART_INTENSITY', cause: { message: 'x crashed' } } },
    ]);
    world.clock.advanceAtOnce(101);
    world.crash('y');
    world.crash('a');
    expect(world.statuses()).toEqual({ a: 'running', y: 'running' });
  });

  test('one that fails to start has crashed, and is tried again within its budget', () => {
    let failures = 2;
    world.start({ intensity: 2 });
    send({ type: 'child.start', child: world.unstartable('x', () => failures-- > 0) });
    expect(world.news()).toBe('?x ?x ?x');
    expect(world.types()).toEqual(['child.crashed x', 'child.crashed x', 'child.restarted x']);
    failures = Infinity;
    send({ type: 'child.start', child: world.unstartable('y', () => failures-- > 0) });
    expect(world.news()).toBe('?y ?y ?y');
    expect(world.statuses()).toEqual({ x: 'running' });
  });

  test('one that waits for its restart can be stopped', () => {
    world.start({ backoff: { minDelayMs: 100, maxDelayMs: 100 }, random: () => 0.5 });
    send({ type: 'child.start', child: world.worker('x') });
    world.crash('x');
    send({ type: 'child.stop', id: 'x' });
    expect(world.types()).toEqual(['child.crashed x', 'child.ended x']);
    expect(world.clock.pending).toBe(0);
    expect(world.statuses()).toEqual({});
  });

  test('a machine that is done from the start is started and has ended', () => {
    const born = createMachine({ initial: 'done', states: { done: { type: 'final' } }, output: 7 });
    world.start({});
    send({ type: 'child.start', child: { id: 'x', logic: born, restart: 'on-crash' } });
    expect(world.emitted).toEqual([{ type: 'child.ended', id: 'x', output: 7 }]);
    expect(world.statuses()).toEqual({});
  });
});

describe('wrong requests are refused as in OTP', () => {
  test('already-started: a child with that id is alive', () => {
    world.start({ children: [world.worker('a', { manner: 'slow' })] });
    send({ type: 'child.start', child: world.worker('a') }, { type: 'child.stop', id: 'a' });
    send({ type: 'child.start', child: world.worker('a') });
    expect(refusals()).toEqual(['child.start a: already-started', 'child.start a: already-started']);
  });

  test('already-present: the id is known, its child is not running', () => {
    world.start({
      children: [world.worker('a'), world.worker('b')],
      backoff: { minDelayMs: 9, maxDelayMs: 9 },
      random: () => 0.5,
    });
    send({ type: 'child.stop', id: 'a' }, { type: 'child.start', child: world.worker('a') });
    world.crash('b');
    send({ type: 'child.start', child: world.worker('b') });
    expect(refusals()).toEqual(['child.start a: already-present', 'child.start b: already-present']);
  });

  test('running: only a stopped child can be restarted or deleted', () => {
    world.start({ children: [world.worker('a')], backoff: { minDelayMs: 9, maxDelayMs: 9 } });
    send({ type: 'child.restart', id: 'a' }, { type: 'child.delete', id: 'a' });
    world.crash('a');
    send({ type: 'child.restart', id: 'a' }, { type: 'child.delete', id: 'a' });
    expect(refusals()).toEqual([
      'child.restart a: running',
      'child.delete a: running',
      'child.restart a: running',
      'child.delete a: running',
    ]);
  });

  test('not-found', () => {
    world.start({});
    send(
      { type: 'child.stop', id: 'x' },
      { type: 'child.restart', id: 'x' },
      { type: 'child.delete', id: 'x' },
    );
    expect(refusals()).toEqual([
      'child.stop x: not-found',
      'child.restart x: not-found',
      'child.delete x: not-found',
    ]);
  });

  test('stopping a stopped child is no mistake', () => {
    world.start({ children: [world.worker('a')] });
    send({ type: 'child.stop', id: 'a' }, { type: 'child.stop', id: 'a' });
    expect(world.types()).toEqual(['child.ended a']);
  });

  test('stopping: nothing is started any more', () => {
    world.start({ children: [world.worker('a'), world.worker('b', { manner: 'slow' })] });
    send({ type: 'child.stop', id: 'a' }, { type: 'stop' }, { type: 'stop' });
    send({ type: 'child.start', child: world.worker('x') }, { type: 'child.restart', id: 'a' });
    send({ type: 'child.stop', id: 'b' }, { type: 'child.stop', id: 'x' });
    expect(refusals()).toEqual([
      'child.start x: stopping',
      'child.restart a: stopping',
      'child.stop x: not-found',
    ]);
  });

  test('invalid: a child that makes no sense', () => {
    world.start({});
    send({ type: 'child.start', child: { id: 'x', logic: createMachine({}), shutdownMs: NaN } });
    send({
      type: 'child.start',
      child: { id: 'y', logic: createMachine({}), significant: true, restart: 'never' },
    });
    send(
      { type: 'child.start', child: undefined as never },
      { type: 'child.start', child: { id: 7 } as never },
    );
    expect(refusals()).toEqual([
      'child.start x: invalid',
      'child.start y: invalid',
      'child.start : invalid',
      'child.start : invalid',
    ]);
    expect(world.emitted[0]).toMatchObject({ error: { code: 'ERR_OPTION' } });
  });

  test('invalid: a dynamic child under another strategy', () => {
    world.start({ strategy: 'rest-for-one', children: [world.worker('a')] });
    send({ type: 'child.start', child: world.worker('x') });
    expect(refusals()).toEqual(['child.start x: invalid']);
  });

  test('events it does not know are ignored', () => {
    world.start({ children: [world.worker('a')] });
    const before = world.root.getSnapshot();
    for (const type of ['hello', 'xstate.done.actor.a', 'xstate.error.actor.nobody', 'supervisor.alarm']) {
      world.root.send({ type } as never);
    }
    expect(world.root.getSnapshot()).toBe(before);
    expect(world.emitted).toEqual([]);
  });
});

test('a snapshot is never changed afterwards', () => {
  world.start({ children: [world.worker('a')] });
  const before = world.root.getSnapshot();
  const copy = structuredClone(
    before.context.children.map(({ id, status, restarts }) => ({ id, status, restarts })),
  );
  world.crash('a');
  send({ type: 'child.start', child: world.worker('x') }, { type: 'child.stop', id: 'a' });
  expect(before.context.children.map(({ id, status, restarts }) => ({ id, status, restarts }))).toEqual(copy);
  expect(before.context.counts).toMatchObject({ specs: 1, active: 1 });
});

test('listeners find the snapshot that goes with what they hear', () => {
  world.start({ children: [world.worker('a')] });
  const seen: unknown[] = [];
  world.root.on('child.restarted', () => seen.push(world.root.getSnapshot().context.children[0]?.restarts));
  world.crash('a');
  expect(seen).toEqual([1]);
});
