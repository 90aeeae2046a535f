import { createActor, createMachine, fromPromise } from 'xstate';
import { beforeEach, describe, expect, test } from 'vitest';
import type { SupervisorSnapshot } from '../../actors/supervision/protocol.js';
import type { SupervisorOptions } from '../../actors/supervision/settings.js';
import { createSupervisor } from '../../actors/supervisor.js';
import { OptionError, RestartIntensityError } from '../../src/model/errors.js';
import { World } from './supervisor-world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
const three = () => [world.worker('a'), world.worker('b'), world.worker('c')];

describe('start and stop', () => {
  test('starts its children in order', () => {
    world.start({ children: three() });
    expect(world.news()).toBe('+a +b +c');
    expect(world.root.getSnapshot().context).toMatchObject({
      children: [
        { id: 'a', status: 'running', restarts: 0, ref: { id: 'a' } },
        { id: 'b', status: 'running' },
        { id: 'c', status: 'running' },
      ],
      counts: { specs: 3, active: 3, supervisors: 0, workers: 3 },
    });
  });

  test('starts nothing before it is started itself', () => {
    const actor = createActor(createSupervisor({ children: three() }));
    expect(world.news()).toBe('');
    expect(actor.getSnapshot().context.children.map(({ status }) => status)).toEqual(
      Array(3).fill('starting'),
    );
  });

  test('stops in reverse order of start, each only when the one after it has ended', () => {
    world.start({ children: [world.worker('a'), world.worker('b', { manner: 'slow' }), world.worker('c')] });
    world.news();
    world.root.send({ type: 'stop' });
    expect(world.news()).toBe('-c');
    expect(world.statuses()).toEqual({ a: 'running', b: 'stopping', c: 'stopped' });
    world.child('b').send({ type: 'finish' });
    expect(world.news()).toBe('-b -a');
    expect(world.root.getSnapshot()).toMatchObject({ status: 'done', context: { counts: { active: 0 } } });
    expect(world.clock.pending).toBe(0);
  });

  test('is done at once without children', () => {
    world.start({}).send({ type: 'stop' });
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('fails to start when a child does, and stops what it had started in reverse', () => {
    world.start({
      children: [world.worker('a'), world.worker('b'), world.unstartable('x'), world.worker('c')],
    });
    expect(world.news()).toBe('+a +b ?x -b -a');
    expect(world.root.getSnapshot()).toMatchObject({ status: 'error', error: { message: 'x cannot start' } });
    expect(world.types()).toEqual(['child.crashed x', 'child.ended x', 'child.ended b', 'child.ended a']);
    expect(world.alive()).toEqual([]);
  });

  test('gives the children started before a failing one their time to stop', () => {
    world.start({ children: [world.worker('a', { manner: 'slow' }), world.unstartable('x')] });
    expect(world.root.getSnapshot().status).toBe('active');
    world.child('a').send({ type: 'finish' });
    expect(world.root.getSnapshot()).toMatchObject({ status: 'error', error: { message: 'x cannot start' } });
  });

  test('takes an input function that throws for a start that fails', () => {
    const input = () => {
      throw new Error('no input');
    };
    world.start({ children: [world.worker('a'), { id: 'x', logic: createMachine({}), input }] });
    expect(world.root.getSnapshot()).toMatchObject({ status: 'error', error: { message: 'no input' } });
    expect(world.alive()).toEqual([]);
  });
});

describe('restart strategies', () => {
  test('restarts only the crashed child under one-for-one', () => {
    world.start({ strategy: 'one-for-one', children: three() });
    world.news();
    world.crash('b');
    expect(world.news()).toBe('-b +b');
    expect(world.emitted).toEqual([
      { type: 'child.crashed', id: 'b', error: new Error('b crashed'), restart: 'always', restarts: 0 },
      { type: 'child.restarted', id: 'b', restarts: 1 },
    ]);
    expect(world.root.getSnapshot().context.children[1]).toMatchObject({ restarts: 1, status: 'running' });
  });

  test('restarts all children in order under one-for-all', () => {
    world.start({ strategy: 'one-for-all', children: three() });
    world.news();
    world.crash('b');
    expect(world.news()).toBe('-b -c -a +a +b +c');
  });

  test('restarts the crashed child and those after it under rest-for-one', () => {
    world.start({ strategy: 'rest-for-one', children: three() });
    world.news();
    world.crash('b');
    expect(world.news()).toBe('-b -c +b +c');
  });

  test('starts no child of a group before all of it have ended', () => {
    const slow = world.worker('c', { manner: 'slow' });
    world.start({ strategy: 'one-for-all', children: [world.worker('a'), world.worker('b'), slow] });
    world.news();
    world.crash('a');
    expect(world.news()).toBe('-a');
    expect(world.statuses()).toEqual({ a: 'waiting', b: 'running', c: 'stopping' });
    world.child('c').send({ type: 'finish' });
    expect(world.news()).toBe('-c -b +a +b +c');
  });

  test('does not count a child that crashes while it is stopped for its group', () => {
    const slow = world.worker('c', { manner: 'slow' });
    world.start({
      strategy: 'one-for-all',
      intensity: 1,
      children: [world.worker('a'), world.worker('b'), slow],
    });
    world.crash('a');
    world.crash('b');
    world.crash('c');
    expect(world.statuses()).toEqual({ a: 'running', b: 'running', c: 'running' });
  });

  test('widens the group when an earlier child crashes meanwhile', () => {
    const slow = world.worker('c', { manner: 'slow' });
    world.start({ strategy: 'rest-for-one', children: [world.worker('a'), world.worker('b'), slow] });
    world.news();
    world.crash('b');
    world.crash('a');
    expect(world.news()).toBe('-b -a');
    world.child('c').send({ type: 'finish' });
    expect(world.news()).toBe('-c +a +b +c');
  });

  test('stops a never child with its group and does not start it again', () => {
    world.start({
      strategy: 'one-for-all',
      children: [world.worker('a'), world.worker('once', { restart: 'never' }), world.worker('c')],
    });
    world.news();
    world.crash('a');
    expect(world.news()).toBe('-a -c -once +a +c');
    expect(world.statuses()).toEqual({ a: 'running', c: 'running' });
  });

  test('starts children that had stopped before with their group, as OTP does', () => {
    world.start({ strategy: 'one-for-all', children: three() });
    world.root.send({ type: 'child.stop', id: 'b' });
    world.news();
    world.crash('a');
    expect(world.news()).toBe('-a -c +a +b +c');
  });

  test('tries a group again, counted, when one of it fails to start', () => {
    let failures = 0;
    const brittle = world.unstartable('x', () => failures-- > 0);
    world.start({
      strategy: 'one-for-all',
      intensity: 3,
      children: [world.worker('a'), brittle, world.worker('c')],
    });
    world.news();
    failures = 2;
    world.crash('a');
    expect(world.news()).toBe('-a -c +a ?x -a +a ?x -a +a ?x +c');
    failures = 1;
    world.crash('c');
    expect(world.root.getSnapshot().status).toBe('error');
  });
});

describe('restart policies', () => {
  test('restarts an always child that ends normally', () => {
    world.start({ children: [world.worker('a')] });
    world.child('a').send({ type: 'end' });
    expect(world.news()).toBe('+a -a +a');
    expect(world.emitted).toEqual([
      { type: 'child.ended', id: 'a', output: 'a is done' },
      { type: 'child.restarted', id: 'a', restarts: 1 },
    ]);
  });

  test('keeps an on-crash child that ends normally, stopped', () => {
    world.start({ children: [world.worker('a', { restart: 'on-crash' })] });
    world.crash('a');
    world.child('a').send({ type: 'end' });
    expect(world.news()).toBe('+a -a +a -a');
    expect(world.statuses()).toEqual({ a: 'stopped' });
    expect(world.root.getSnapshot().context.children[0]?.ref).toBeUndefined();
  });

  test('forgets a never child however it ends', () => {
    const policy = { restart: 'never' } as const;
    world.start({
      children: [world.worker('a', policy), world.worker('b', policy), world.worker('c', policy)],
    });
    world.crash('a');
    world.child('b').send({ type: 'end' });
    world.root.send({ type: 'child.stop', id: 'c' });
    expect(world.statuses()).toEqual({});
    expect(world.types()).toEqual(['child.crashed a', 'child.gave-up a', 'child.ended b', 'child.ended c']);
  });

  test('a promise that rejects has crashed, one that resolves has ended', async () => {
    let calls = 0;
    const logic = fromPromise(async ({ input }: { input: { restarts: number } }) => {
      calls += 1;
      if (input.restarts === 0) throw new Error('first time');
      return 'second time';
    });
    world.start({
      children: [{ id: 'p', logic, input: ({ restarts }) => ({ restarts }), restart: 'on-crash' }],
    });
    await new Promise((resolve) => world.root.on('child.ended', resolve));
    expect(calls).toBe(2);
    expect(world.emitted.at(-1)).toEqual({ type: 'child.ended', id: 'p', output: 'second time' });
    expect(world.statuses()).toEqual({ p: 'stopped' });
  });
});

describe('restart intensity', () => {
  test('gives up after intensity restarts within the period and not one earlier', () => {
    world.start({ intensity: 3, periodMs: 1_000, children: three() });
    for (let restarts = 1; restarts <= 3; restarts++) {
      world.crash('b');
      expect(world.root.getSnapshot().status).toBe('active');
    }
    world.news();
    const last = new Error('the last straw');
    world.crash('b', last);
    expect(world.news()).toBe('-b -c -a');
    const { status, error } = world.root.getSnapshot();
    expect(status).toBe('error');
    expect(error).toBeInstanceOf(RestartIntensityError);
    expect(error).toMatchObject({ code: 'ERR_RESTART_INTENSITY', cause: last });
    expect(world.alive()).toEqual([]);
  });

  test('by default gives up at the sixth restart within 30 seconds', () => {
    world.start({ children: three() });
    for (let restarts = 1; restarts <= 5; restarts++) world.crash('a');
    world.clock.advanceAtOnce(30_000);
    expect(world.root.getSnapshot().status).toBe('active');
    world.crash('a');
    expect(world.root.getSnapshot().status).toBe('error');
  });

  test('counts the restarts of all static children together', () => {
    world.start({ intensity: 2, children: three() });
    world.crash('a');
    world.crash('b');
    world.crash('c');
    expect(world.root.getSnapshot().status).toBe('error');
  });

  test('counts one restart for a whole group', () => {
    world.start({ strategy: 'one-for-all', intensity: 2, children: three() });
    world.crash('a');
    world.crash('b');
    expect(world.root.getSnapshot().status).toBe('active');
  });

  test('old restarts leave the sliding window', () => {
    world.start({ intensity: 2, periodMs: 100, children: three() });
    for (let round = 0; round < 20; round++) {
      world.crash('a');
      world.clock.advanceAtOnce(60);
    }
    expect(world.root.getSnapshot().status).toBe('active');
    world.crash('a');
    world.crash('a');
    expect(world.root.getSnapshot().status).toBe('error');
  });

  test('a restart that is exactly one period old still counts, as in OTP', () => {
    world.start({ intensity: 1, periodMs: 100, children: three() });
    world.crash('a');
    world.clock.advanceAtOnce(100.5);
    world.crash('a');
    expect(world.root.getSnapshot().status).toBe('active');
    world.clock.advanceAtOnce(100);
    world.crash('a');
    expect(world.root.getSnapshot().status).toBe('error');
  });

  test('with intensity 0 it gives up at the first crash', () => {
    world.start({ intensity: 0, children: three() });
    world.crash('a');
    expect(world.root.getSnapshot().status).toBe('error');
  });

  test('counts restarts that fail at once', () => {
    let failing = false;
    world.start({ intensity: 4, children: [world.worker('a'), world.unstartable('x', () => failing)] });
    failing = true;
    world.root.send({ type: 'child.stop', id: 'x' });
    world.news();
    world.root.send({ type: 'child.restart', id: 'x' });
    expect(world.news()).toBe('?x ?x ?x ?x ?x -a');
    expect(world.root.getSnapshot().error).toMatchObject({ cause: { message: 'x cannot start' } });
  });

  test('gives the others their time to stop when it gives up', () => {
    const slow = world.worker('a', { manner: 'slow', shutdownMs: 500 });
    world.start({ intensity: 0, children: [slow, world.worker('b')] });
    world.crash('b');
    expect(world.statuses()).toEqual({ a: 'stopping', b: 'stopped' });
    world.clock.advanceAtOnce(500);
    expect(world.root.getSnapshot().status).toBe('error');
    expect(world.types()).toEqual(['child.crashed b', 'child.gave-up b', 'child.killed a']);
  });

  test('escalates to its parent supervisor, which restarts the whole subtree', () => {
    const inner = createSupervisor({ intensity: 1, children: [world.worker('x'), world.worker('y')] });
    world.start({ intensity: 1, children: [world.worker('a'), { id: 'inner', logic: inner }] });
    const crashX = () => {
      const { children } = (world.child('inner').getSnapshot() as SupervisorSnapshot).context;
      children[0]?.ref?.send({ type: 'crash' });
    };
    crashX();
    expect(world.emitted).toEqual([]);
    world.news();
    crashX();
    expect(world.news()).toBe('-x -y +x +y');
    expect(world.types()).toEqual(['child.crashed inner', 'child.restarted inner']);
    expect(world.emitted[0]).toMatchObject({ error: { code: 'ERR_RESTART_INTENSITY' } });
    crashX();
    crashX();
    expect(world.root.getSnapshot().error).toMatchObject({
      code: 'ERR_RESTART_INTENSITY',
      cause: { code: 'ERR_RESTART_INTENSITY', cause: { message: 'x crashed' } },
    });
    expect(world.alive()).toEqual([]);
  });
});

describe('back-off', () => {
  const backoff = { minDelayMs: 100, maxDelayMs: 350 };

  test('waits before a restart, longer with each in the period, with full jitter', () => {
    let random = 1 - Number.EPSILON;
    world.start({ intensity: 9, backoff, random: () => random, children: three() });
    for (const delay of [99, 199, 349, 349]) {
      world.crash('b');
      expect(world.statuses()).toMatchObject({ a: 'running', b: 'waiting' });
      world.clock.advanceAtOnce(delay - 1);
      expect(world.statuses()).toMatchObject({ b: 'waiting' });
      world.clock.advanceAtOnce(1);
      expect(world.statuses()).toMatchObject({ b: 'running' });
    }
    random = 0.5;
    world.crash('b');
    world.clock.advanceAtOnce(175);
    expect(world.statuses()).toMatchObject({ b: 'running' });
    world.clock.advanceAtOnce(30_001);
    world.crash('b');
    world.clock.advanceAtOnce(50);
    expect(world.statuses()).toMatchObject({ b: 'running' });
  });

  test('ends a group at once and starts it after the wait', () => {
    world.start({ strategy: 'one-for-all', backoff, random: () => 0.5, children: three() });
    world.news();
    world.crash('b');
    expect(world.news()).toBe('-b -c -a');
    world.clock.advanceAtOnce(49);
    expect(world.news()).toBe('');
    world.clock.advanceAtOnce(1);
    expect(world.news()).toBe('+a +b +c');
  });

  test('waits for a slow member of the group as well', () => {
    const slow = world.worker('c', { manner: 'slow' });
    world.start({ strategy: 'one-for-all', backoff, random: () => 0.5, children: [world.worker('a'), slow] });
    world.news();
    world.crash('a');
    world.clock.advanceAtOnce(50);
    expect(world.news()).toBe('-a');
    world.child('c').send({ type: 'finish' });
    expect(world.news()).toBe('-c +a +c');
  });

  test('a group that becomes wider waits anew', () => {
    world.start({ strategy: 'rest-for-one', backoff, random: () => 0.5, children: three() });
    world.crash('b');
    world.clock.advanceAtOnce(40);
    world.crash('a');
    world.news();
    world.clock.advanceAtOnce(99);
    expect(world.news()).toBe('');
    expect(world.clock.pending).toBe(1);
    world.clock.advanceAtOnce(1);
    expect(world.news()).toBe('+a +b +c');
  });

  test('a child that waits when all is stopped does not start', () => {
    world.start({ backoff, random: () => 0.5, children: three() });
    world.crash('b');
    world.root.send({ type: 'stop' });
    expect(world.root.getSnapshot().status).toBe('done');
    expect(world.clock.pending).toBe(0);
    expect(world.types()).toContain('child.ended b');
  });

  test('nor does a group that is stopped while it waits', () => {
    world.start({ strategy: 'one-for-all', backoff, random: () => 0.5, children: three() });
    world.crash('b');
    world.news();
    world.root.send({ type: 'stop' });
    expect(world.root.getSnapshot().status).toBe('done');
    expect(world.clock.pending).toBe(0);
    expect(world.news()).toBe('');
  });

  test('a child stopped while it waits stays stopped, its group starts without it', () => {
    world.start({ strategy: 'one-for-all', backoff, random: () => 0.5, children: three() });
    world.crash('b');
    world.news();
    world.root.send({ type: 'child.stop', id: 'b' });
    world.clock.advanceAtOnce(100);
    expect(world.news()).toBe('+a +c');
    expect(world.statuses()).toEqual({ a: 'running', b: 'stopped', c: 'running' });
  });
});

describe('significant children', () => {
  const significant = { significant: true, restart: 'on-crash' } as const;

  test('any-significant: its normal end ends the supervisor', () => {
    const children = [world.worker('a'), world.worker('b', significant), world.worker('c', significant)];
    world.start({ autoShutdown: 'any-significant', children });
    world.news();
    world.crash('b');
    expect(world.root.getSnapshot().status).toBe('active');
    world.child('b').send({ type: 'end' });
    expect(world.news()).toBe('-b +b -b -c -a');
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('any-significant: a never child counts when it crashes too', () => {
    const once = world.worker('b', { significant: true, restart: 'never' });
    world.start({ autoShutdown: 'any-significant', children: [world.worker('a'), once] });
    world.crash('b');
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('all-significant: the last one ends the supervisor', () => {
    const children = [world.worker('a'), world.worker('b', significant), world.worker('c', significant)];
    world.start({ autoShutdown: 'all-significant', children });
    world.child('b').send({ type: 'end' });
    expect(world.root.getSnapshot().status).toBe('active');
    world.child('c').send({ type: 'end' });
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('a stop by request ends no supervisor', () => {
    world.start({ autoShutdown: 'any-significant', children: [world.worker('b', significant)] });
    world.root.send({ type: 'child.stop', id: 'b' });
    expect(world.root.getSnapshot().status).toBe('active');
  });

  test('nor does a stop for a sibling', () => {
    const children = [world.worker('a'), world.worker('b', { significant: true, restart: 'never' })];
    world.start({ strategy: 'one-for-all', autoShutdown: 'any-significant', children });
    world.crash('a');
    expect(world.statuses()).toEqual({ a: 'running' });
  });

  test('dynamic children can be significant', () => {
    world.start({ autoShutdown: 'all-significant' });
    world.root.send({ type: 'child.start', child: world.worker('x', significant) });
    world.root.send({ type: 'child.start', child: world.worker('y', significant) });
    world.child('x').send({ type: 'end' });
    expect(world.root.getSnapshot().status).toBe('active');
    world.child('y').send({ type: 'end' });
    expect(world.root.getSnapshot().status).toBe('done');
  });
});

describe('options that make no sense are refused at once', () => {
  const logic = createMachine({});
  const wrong: [string, SupervisorOptions][] = [
    ['strategy', { strategy: 'some' as never }],
    ['intensity', { intensity: -1 }],
    ['intensity', { intensity: Infinity }],
    ['periodMs', { periodMs: 0 }],
    ['minDelayMs', { backoff: { minDelayMs: 0, maxDelayMs: 4 } }],
    ['maxDelayMs', { backoff: { minDelayMs: 5, maxDelayMs: 4 } }],
    ['autoShutdown', { autoShutdown: 'always' as never }],
    ['no id', { children: [{ id: '', logic }] }],
    ['logic', { children: [{ id: 'a', logic: {} as never }] }],
    ['restart', { children: [{ id: 'a', logic, restart: 'sometimes' as never }] }],
    ['shutdownMs', { children: [{ id: 'a', logic, shutdownMs: -1 }] }],
    ['shutdownMs', { children: [{ id: 'a', logic, shutdownMs: 2 ** 31 }] }],
    ['autoShutdown', { children: [{ id: 'a', logic, restart: 'never', significant: true }] }],
    ['always', { autoShutdown: 'any-significant', children: [{ id: 'a', logic, significant: true }] }],
    ['twice', { children: [logic, logic].map((each) => ({ id: 'a', logic: each })) }],
  ];
  test.each(wrong)('%s', (text, options) => {
    expect(() => createSupervisor(options)).toThrow(OptionError);
    expect(() => createSupervisor(options)).toThrow(text);
  });

  test('and an input of the wrong type does not compile', () => {
    const typed = fromPromise(async ({ input }: { input: { count: number } }) => input.count);
    createSupervisor({
      children: [{ id: 'a', logic: typed, input: ({ restarts }) => ({ count: restarts }) }],
    });
    // @ts-expect-error count is a number
    createSupervisor({ children: [{ id: 'a', logic: typed, input: { count: '1' } }] });
  });
});
