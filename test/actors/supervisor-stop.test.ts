import {
  assign,
  createActor,
  createMachine,
  fromCallback,
  fromPromise,
  fromTransition,
  SimulatedClock,
  type ActorOptions,
  type AnyActorLogic,
  type AnyActorRef,
  type Snapshot,
} from 'xstate';
import { beforeEach, describe, expect, test } from 'vitest';
import { createSupervisor } from '../../actors/supervisor.js';
import { World } from './supervisor-world.js';

type Clock = NonNullable<ActorOptions<AnyActorLogic>['clock']>;

let world: World;
beforeEach(() => {
  world = new World();
});

describe('a request to stop', () => {
  test('kills a child that ignores it after shutdownMs', () => {
    world.start({ children: [world.worker('a', { manner: 'stubborn', shutdownMs: 300 })] });
    world.root.send({ type: 'child.stop', id: 'a' });
    world.clock.advanceAtOnce(299);
    expect(world.statuses()).toEqual({ a: 'stopping' });
    expect(world.news()).toBe('+a');
    world.clock.advanceAtOnce(1);
    expect(world.news()).toBe('-a');
    expect(world.statuses()).toEqual({ a: 'stopped' });
    expect(world.types()).toEqual(['child.killed a']);
    expect(world.alive()).toEqual(['root']);
  });

  test('gives it five seconds by default', () => {
    const deaf = createMachine({});
    world.start({ children: [{ id: 'deaf', logic: deaf }] });
    world.root.send({ type: 'stop' });
    world.clock.advanceAtOnce(4_999);
    expect(world.root.getSnapshot().status).toBe('active');
    world.clock.advanceAtOnce(1);
    expect(world.root.getSnapshot().status).toBe('done');
    expect(world.types()).toEqual(['child.killed deaf']);
  });

  test('counts them on any clock that an actor system takes', () => {
    const clock = new SimulatedClock();
    const logic = createSupervisor({
      children: [world.worker('a', { manner: 'stubborn', shutdownMs: 300 })],
    });
    const timers: Clock = {
      setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
      clearTimeout: (timer: number) => clock.clearTimeout(timer),
    };
    for (const each of [clock, timers]) {
      const root = createActor(logic, { clock: each }).start();
      root.send({ type: 'stop' });
      clock.increment(299);
      expect(root.getSnapshot().status).toBe('active');
      clock.increment(1);
      expect(root.getSnapshot().status).toBe('done');
    }
  });

  test('or on its own clock', () => {
    const { clock } = world;
    const logic = createSupervisor({ clock, children: [world.worker('a', { manner: 'stubborn' })] });
    const root = createActor(logic).start();
    root.send({ type: 'stop' });
    clock.advanceAtOnce(5_000);
    expect(root.getSnapshot().status).toBe('done');
  });

  test('with shutdownMs 0 stops it by force at once, without asking', () => {
    const asked: string[] = [];
    const logic = createMachine({ on: { 'supervisor.stop': { actions: () => asked.push('asked') } } });
    world.start({ children: [{ id: 'a', logic, shutdownMs: 0 }] });
    world.root.send({ type: 'stop' });
    expect(asked).toEqual([]);
    expect(world.types()).toEqual(['child.killed a']);
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('with shutdownMs Infinity waits as long as it takes', () => {
    world.start({ children: [world.worker('a', { manner: 'slow', shutdownMs: Infinity })] });
    world.root.send({ type: 'stop' });
    expect(world.clock.pending).toBe(0);
    world.clock.advanceAtOnce(1e9);
    world.child('a').send({ type: 'finish' });
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('asks a function for the deadline when it stops, and takes the default for what makes no sense', () => {
    let shutdownMs: number | undefined = 100;
    const ask = () => {
      if (shutdownMs === undefined) throw new Error('nobody knows');
      return shutdownMs;
    };
    world.start({
      children: ['a', 'b', 'c'].map((id) => world.worker(id, { manner: 'stubborn', shutdownMs: ask })),
    });
    world.root.send({ type: 'stop' });
    shutdownMs = NaN;
    world.clock.advanceAtOnce(100);
    expect(world.living()).toHaveLength(2);
    world.clock.advanceAtOnce(4_999);
    expect(world.living()).toHaveLength(2);
    shutdownMs = undefined;
    world.clock.advanceAtOnce(1);
    expect(world.living()).toHaveLength(1);
    world.clock.advanceAtOnce(5_000);
    expect(world.living()).toEqual([]);
  });

  test('gives each child its own deadline, counted from its turn', () => {
    const stubborn = { manner: 'stubborn', shutdownMs: 100 } as const;
    world.start({ children: [world.worker('a', stubborn), world.worker('b', stubborn)] });
    world.news();
    world.root.send({ type: 'stop' });
    world.clock.advanceAtOnce(100);
    expect(world.news()).toBe('-b');
    world.clock.advanceAtOnce(99);
    expect(world.news()).toBe('');
    world.clock.advanceAtOnce(1);
    expect(world.news()).toBe('-a');
  });

  test('asks all dynamic children at once, before the static ones', () => {
    world.start({ children: [world.worker('a')] });
    for (const id of ['x', 'y', 'z']) {
      world.root.send({ type: 'child.start', child: world.worker(id, { manner: 'slow', shutdownMs: 100 }) });
    }
    world.news();
    world.root.send({ type: 'stop' });
    world.child('x').send({ type: 'finish' });
    expect(world.news()).toBe('-x');
    world.clock.advanceAtOnce(100);
    expect(world.news()).toBe('-z -y -a');
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('a crash on the way is told, and ends it as well', () => {
    world.start({ children: [world.worker('a', { manner: 'slow' })] });
    world.root.send({ type: 'child.stop', id: 'a' });
    world.crash('a');
    expect(world.types()).toEqual(['child.crashed a', 'child.ended a']);
    expect(world.statuses()).toEqual({ a: 'stopped' });
    expect(world.clock.pending).toBe(0);
  });

  test('stops promise, callback and transition logic directly, without a wait', () => {
    const told: string[] = [];
    const callback = fromCallback(() => () => told.push('cleaned up'));
    const promise = fromPromise(({ signal }) => {
      signal.addEventListener('abort', () => told.push('aborted'));
      return new Promise<never>(() => {});
    });
    const transition = fromTransition((count: number) => count + 1, 0);
    world.start({
      children: [
        { id: 'callback', logic: callback },
        { id: 'promise', logic: promise },
        { id: 'transition', logic: transition },
      ],
    });
    world.root.send({ type: 'stop' });
    expect(told).toEqual(['aborted', 'cleaned up']);
    expect(world.types()).toEqual(['child.ended transition', 'child.ended promise', 'child.ended callback']);
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('a clean-up that throws is told as a crash', () => {
    const callback = fromCallback(() => () => {
      throw new Error('cannot clean up');
    });
    world.start({ children: [world.worker('a'), { id: 'x', logic: callback }] });
    world.root.send({ type: 'stop' });
    expect(world.types()).toEqual(['child.crashed x', 'child.ended x', 'child.ended a']);
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('a child may ask for its own stop while it handles an event', () => {
    const suicidal = createMachine({
      initial: 'on',
      states: {
        on: {
          on: {
            go: { actions: ({ self }) => self._parent?.send({ type: 'child.stop', id: 'a' }) },
            'supervisor.stop': 'off',
          },
        },
        off: { type: 'final' },
      },
    });
    world.start({ children: [{ id: 'a', logic: suicidal, restart: 'on-crash' }] });
    world.child('a').send({ type: 'go' });
    expect(world.statuses()).toEqual({ a: 'stopped' });
    expect(world.types()).toEqual(['child.ended a']);
  });
});

test('a child that crashes before its turn to stop is not asked, nor restarted', () => {
  const heard: string[] = [];
  const rival = createMachine({
    initial: 'on',
    exit: ({ self }) => {
      // The request is in the supervisor's mailbox before the news of the crash.
      self._parent?.send({ type: 'child.stop', id: 'a' });
      world.child('a').send({ type: 'crash' });
    },
    states: { on: { on: { 'supervisor.stop': 'off' } }, off: { type: 'final' } },
  });
  world.start({ children: [world.worker('a'), { id: 'rival', logic: rival }] });
  world.child('a').subscribe({ error: () => heard.push('crash') });
  world.root.send({ type: 'child.stop', id: 'rival' });
  expect(heard).toEqual(['crash']);
  expect(world.types()).toEqual(['child.ended rival', 'child.crashed a', 'child.ended a']);
  expect(world.statuses()).toEqual({ a: 'stopped', rival: 'stopped' });
});

describe('a supervisor inside a supervisor', () => {
  test('gets all the time its own children need', () => {
    const inner = createSupervisor({ children: [world.worker('x', { manner: 'slow', shutdownMs: 60_000 })] });
    world.start({ children: [world.worker('a'), { id: 'inner', logic: inner }] });
    expect(world.root.getSnapshot().context.counts).toEqual({
      specs: 2,
      active: 2,
      supervisors: 1,
      workers: 1,
    });
    world.news();
    world.root.send({ type: 'stop' });
    world.clock.advanceAtOnce(59_999);
    expect(world.news()).toBe('');
    world.clock.advanceAtOnce(1);
    expect(world.news()).toBe('-x -a');
    expect(world.root.getSnapshot().status).toBe('done');
  });

  test('killed all the same, it leaves nothing behind', () => {
    const innermost = createSupervisor({ children: [world.worker('x', { manner: 'stubborn' })] });
    const inner = createSupervisor({ children: [{ id: 'innermost', logic: innermost }] });
    world.start({ children: [{ id: 'inner', logic: inner, shutdownMs: 10 }] });
    world.root.send({ type: 'stop' });
    world.clock.advanceAtOnce(10);
    expect(world.news()).toBe('+x -x');
    expect(world.alive()).toEqual([]);
    expect(world.clock.pending).toBe(0);
  });
});

describe('stopped by force', () => {
  test('as a root, it stops its children, clears its timers and says so', () => {
    const backoff = { minDelayMs: 1_000, maxDelayMs: 1_000 };
    const children = [world.worker('a'), world.worker('b'), world.worker('c', { manner: 'stubborn' })];
    world.start({ backoff, random: () => 0.5, children });
    world.crash('a');
    world.root.send({ type: 'child.stop', id: 'c' });
    world.root.stop();
    expect(world.types()).toEqual(['child.crashed a', 'child.killed c', 'child.killed b', 'child.ended a']);
    expect(world.alive()).toEqual([]);
    expect(world.clock.pending).toBe(0);
    expect(world.root.getSnapshot()).toMatchObject({ status: 'stopped', context: { counts: { active: 0 } } });
  });

  test('invoked by a machine, it goes with the state that invoked it', () => {
    const machine = createMachine({
      initial: 'on',
      states: {
        on: { invoke: { src: createSupervisor({ children: [world.worker('a')] }) }, on: { next: 'off' } },
        off: {},
      },
    });
    const actor = world.run(machine);
    expect(world.news()).toBe('+a');
    actor.send({ type: 'next' });
    expect(world.news()).toBe('-a');
    expect(world.alive()).toEqual(['root']);
  });

  test('spawned by a machine, it tells it when it is done', () => {
    const machine = createMachine({
      context: { ref: undefined as AnyActorRef | undefined, ended: false },
      entry: assign({
        ref: ({ spawn }) => spawn(createSupervisor({ children: [world.worker('a')] }), { id: 'supervisor' }),
      }),
      on: { 'xstate.done.actor.supervisor': { actions: assign({ ended: true }) } },
    });
    const actor = world.run(machine);
    actor.getSnapshot().context.ref?.send({ type: 'stop' });
    expect(actor.getSnapshot().context.ended).toBe(true);
  });
});

describe('persistence', () => {
  test('what was running starts anew, what was over stays over', () => {
    const logic = createSupervisor({ children: [world.worker('a')] });
    const running = world.run(logic);
    world.crash('a');
    const again = createActor(logic, {
      snapshot: JSON.parse(JSON.stringify(running.getPersistedSnapshot())) as Snapshot<unknown>,
    });
    world.news();
    again.start();
    expect(world.news()).toBe('+a');
    expect(again.getSnapshot().context.children).toMatchObject([{ id: 'a', status: 'running', restarts: 0 }]);
    again.send({ type: 'stop' });
    const over = createActor(logic, { snapshot: again.getPersistedSnapshot() }).start();
    expect(over.getSnapshot().status).toBe('done');
    expect(world.news()).toBe('-a');
  });
});
