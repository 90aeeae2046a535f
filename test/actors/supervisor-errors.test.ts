import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createActor, createMachine, fromCallback, setup, type AnyActorRef, type Snapshot } from 'xstate';
import { beforeEach, describe, expect, test } from 'vitest';
import type { IncarnationInfo } from '../../actors/supervision/child-spec.js';
import type { SupervisorSnapshot } from '../../actors/supervision/protocol.js';
import { createSupervisor } from '../../actors/supervisor.js';
import { World } from './supervisor-world.js';

let world: World;
beforeEach(() => {
  world = new World();
});

/** What reaches the process while this runs and until XState, which throws on a real timer, has had its turn. */
async function uncaught(run: () => void): Promise<unknown[]> {
  const errors: unknown[] = [];
  const own = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => errors.push(error));
  try {
    run();
    await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.removeAllListeners('uncaughtException');
    own.forEach((listener) => process.on('uncaughtException', listener));
  }
  return errors;
}

describe('no error of a child is ever an uncaught exception', () => {
  test('without a supervisor it is one', async () => {
    const error = new Error('nobody looks');
    const child = fromCallback(() => {
      throw error;
    });
    const parent = createActor(createMachine({ invoke: { src: child } }));
    expect(await uncaught(() => parent.start())).toEqual([error]);
  });

  test('nor is the giving up of a root that nobody observes', async () => {
    const errors = await uncaught(() => {
      world.start({ intensity: 1, children: [world.worker('a')] });
      world.crash('a');
      world.crash('a');
    });
    expect(world.root.getSnapshot().status).toBe('error');
    expect(errors).toEqual([]);
  });

  test('nor a start that fails, a dynamic child, a clean-up or an input', async () => {
    const cleaner = fromCallback(() => () => {
      throw new Error('clean-up');
    });
    const errors = await uncaught(() => {
      world.start({ intensity: 2 });
      world.root.send({ type: 'child.start', child: world.unstartable('x') });
      world.root.send({ type: 'child.start', child: { id: 'y', logic: cleaner } });
      world.root.send({
        type: 'child.start',
        child: {
          id: 'z',
          logic: createMachine({}),
          input: () => {
            throw new Error('input');
          },
        },
      });
      world.root.send({ type: 'child.stop', id: 'y' });
    });
    expect(errors).toEqual([]);
    expect(world.types().filter((type) => type.startsWith('child.gave-up'))).toEqual([
      'child.gave-up x',
      'child.gave-up z',
    ]);
  });

  test('nor one that somebody subscribed to without an error listener', async () => {
    const errors = await uncaught(() => {
      world.start({ intensity: 0, children: [world.worker('a')] });
      const ref = world.child('a');
      ref.subscribe(() => {});
      ref.subscribe({ next: () => {} });
      ref.select((snapshot: Snapshot<unknown>) => snapshot.status).subscribe(() => {});
      world.root.subscribe(() => {});
      world.crash('a');
      ref.subscribe(() => {});
    });
    expect(errors).toEqual([]);
  });

  test('and those who listen for errors still hear of them', () => {
    const heard: unknown[] = [];
    world.start({ intensity: 0, children: [world.worker('a')] });
    world.child('a').subscribe({ error: (error) => heard.push(error) });
    world.root.subscribe({ error: (error) => heard.push(error) });
    const error = new Error('a');
    world.crash('a', error);
    expect(heard).toEqual([error, expect.objectContaining({ code: 'ERR_RESTART_INTENSITY', cause: error })]);
  });

  test('and no sender gets it', () => {
    world.start({ children: [world.worker('a')] });
    expect(() => world.crash('a')).not.toThrow();
    expect(() => world.root.send({ type: 'child.start', child: world.unstartable('x') })).not.toThrow();
  });
});

test('an inspector that throws ends the supervisor, and no child is left behind', () => {
  const logic = createSupervisor({ children: [world.worker('a'), world.worker('b'), world.worker('c')] });
  const error = new Error('a broken inspector');
  const root = createActor(logic, {
    inspect: (event) => {
      if (event.type !== '@xstate.event' || (event.actorRef as AnyActorRef).id !== 'b') return;
      if (event.event.type === 'supervisor.stop') throw error;
    },
  });
  const told: string[] = [];
  root.on('*', ({ type, id }) => told.push(`${type} ${id}`));
  root.start();
  const { children } = root.getSnapshot().context;
  root.send({ type: 'stop' });
  expect(root.getSnapshot()).toMatchObject({ status: 'error', error });
  expect(told).toEqual(['child.ended c', 'child.killed b', 'child.killed a']);
  expect(children.map(({ ref }) => (ref?.getSnapshot() as Snapshot<unknown>).status)).toEqual([
    'stopped',
    'stopped',
    'done',
  ]);
});

describe('the signal of an incarnation', () => {
  const signals: AbortSignal[] = [];
  const watched = (id: string) => {
    const { input, ...spec } = world.worker(id, { manner: id === 'stubborn' ? 'stubborn' : 'prompt' });
    return {
      ...spec,
      input: (incarnation: IncarnationInfo) => {
        signals.push(incarnation.signal);
        return (input as (incarnation: IncarnationInfo) => unknown)(incarnation);
      },
    };
  };
  beforeEach(() => void signals.splice(0));

  test('aborts when it crashes, and the next one has its own', () => {
    world.start({ children: [watched('a')] });
    world.crash('a');
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(signals[0]?.reason).toMatchObject({ code: 'ERR_STOPPED' });
  });

  test('aborts when it is stopped or killed, but not when it is only asked', () => {
    world.start({ children: [watched('a'), watched('stubborn')] });
    world.root.send({ type: 'stop' });
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, false]);
    world.clock.advanceAtOnce(5_000);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  });

  test('made too late it is aborted already', () => {
    let late: IncarnationInfo | undefined;
    const input = (incarnation: IncarnationInfo) => void (late = incarnation);
    world.start({ children: [{ id: 'a', logic: createMachine({}), input, shutdownMs: 0 }] });
    world.root.send({ type: 'child.stop', id: 'a' });
    expect(late?.signal.aborted).toBe(true);
    expect(late?.restarts).toBe(0);
  });

  test('tells what a crashed machine leaves running that it is over', () => {
    const running = new Set<string>();
    const pump = fromCallback<{ type: 'stop' }, AbortSignal>(({ input: signal }) => {
      running.add('pump');
      signal.addEventListener('abort', () => running.delete('pump'));
    });
    const machine = setup({
      types: { input: {} as AbortSignal, context: {} as { signal: AbortSignal } },
      actors: { pump },
    }).createMachine({
      context: ({ input }) => ({ signal: input }),
      invoke: { src: 'pump', input: ({ context }) => context.signal },
      on: {
        crash: {
          actions: () => {
            throw new Error('crash');
          },
        },
      },
    });
    world.start({ intensity: 0, children: [{ id: 'a', logic: machine, input: ({ signal }) => signal }] });
    expect([...running]).toEqual(['pump']);
    world.child('a').send({ type: 'crash' });
    expect([...running]).toEqual([]);
  });
});

describe('the inspector', () => {
  test('sees every child with its parent', () => {
    const inner = createSupervisor({ children: [world.worker('x')] });
    world.start({ children: [world.worker('a'), { id: 'inner', logic: inner }] });
    world.root.send({ type: 'child.start', child: world.worker('y') });
    world.crash('a');
    expect(world.actors.map(({ ref, parent }) => `${parent} > ${ref.id}`)).toEqual([
      'undefined > root',
      'root > a',
      'root > inner',
      'inner > x',
      'root > y',
      'root > a',
    ]);
  });

  test('sees the settings as the definition, and a snapshot that can be written as JSON', () => {
    world.start({ children: [world.worker('a')] });
    const { config } = world.actors[0]!.ref.src as { config: unknown };
    expect(config).toEqual({
      id: 'supervisor',
      meta: {
        supervisor: { strategy: 'one-for-one', intensity: 5, periodMs: 30_000, autoShutdown: 'never' },
      },
    });
    const written = JSON.parse(JSON.stringify(world.root.getSnapshot())) as SupervisorSnapshot;
    expect(written.context.children).toEqual([
      { id: 'a', status: 'running', restarts: 0, ref: { xstate$$type: 1, id: 'a' } },
    ]);
  });
});

test('nothing keeps an ended child in memory', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const root = createActor(
    createSupervisor({ children: [world.worker('a', { restart: 'on-crash' })] }),
  ).start();
  const ids = ['ends', 'stops', 'crashes'];
  for (const id of ids) {
    root.send({ type: 'child.start', child: world.worker(id, { restart: 'on-crash' }) });
  }
  // In a function of its own: this one's frame would keep them.
  const endAll = () =>
    root.getSnapshot().context.children.map(({ id, ref }) => {
      if (id === 'stops') root.send({ type: 'child.stop', id });
      else ref?.send({ type: id === 'crashes' ? 'crash' : 'end' });
      return new WeakRef(ref!);
    });
  const refs: WeakRef<AnyActorRef>[] = endAll();
  expect(root.getSnapshot().context.children).toMatchObject([
    { id: 'a', status: 'stopped' },
    { id: 'crashes', restarts: 1 },
  ]);
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  expect(refs.map((ref) => ref.deref()?.id)).toEqual(Array(4).fill(undefined));
  root.stop();
});
