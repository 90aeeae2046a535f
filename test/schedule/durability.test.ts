import { describe, expect, it } from 'vitest';
import { assign, createMachine, emit, fromCallback, fromPromise, setup, spawnChild } from 'xstate';
import type { Message } from '../../src/index.js';
import { createTestMaster, type TestMaster } from '../../src/testing/test-master.js';
import { rejection } from '../eventually.js';
import { sums } from './machines.js';

const heard = (master: TestMaster, topic: string) =>
  master.broker.published.filter(({ message }) => message.topic === topic).map(({ message }) => message.data);

/** Asks again until it is answered, and says so. */
const reminder = setup({
  types: {
    context: {} as { asked: Map<string, Date> },
    events: {} as { type: string; message: Message<string> },
  },
  actions: {
    remember: assign({
      asked: ({ context, event }) => new Map(context.asked).set(event.message.data, event.message.time),
    }),
    remind: emit(({ context }) => say('remind', [...context.asked.keys()])),
  },
}).createMachine({
  id: 'reminder',
  context: { asked: new Map<string, Date>() },
  initial: 'idle',
  states: {
    idle: { on: { 'ask.new': { target: 'asked', actions: 'remember' } } },
    asked: {
      after: { 1000: { target: 'asked', reenter: true, actions: 'remind' } },
      on: { 'ask.done': 'idle' },
    },
  },
});

function say(topic: string, data: unknown) {
  return { type: 'publish', topic, data };
}

const asks = { bindings: ['ask.*'], logic: reminder };

describe('timers of a scheduler', () => {
  it('fire for as long as their state is there', async () => {
    await using master = await createTestMaster();
    await master.schedule('reminder', asks);
    await master.publish('ask.new', 'tea');
    await master.clock.advance(2_500);
    await master.publish('ask.done', '');
    await master.clock.advance(5_000);
    expect(heard(master, 'remind')).toEqual([['tea'], ['tea']]);
  });

  it('are armed for the time that is left on the master that takes over', async () => {
    await using first = await createTestMaster();
    await using second = await createTestMaster({ broker: first.broker });
    await first.schedule('reminder', asks);
    await second.schedule('reminder', asks);
    await first.publish('ask.new', 'tea');
    await first.clock.advance(800);
    first.crash();
    await second.clock.advance(150);
    expect(heard(second, 'remind')).toEqual([]);
    await second.clock.advance(100);
    expect(heard(second, 'remind')).toEqual([['tea']]);
  });

  it('that fell due while nobody was there fire once, at once', async () => {
    await using first = await createTestMaster();
    const { broker } = first;
    await first.schedule('reminder', asks);
    await first.publish('ask.new', 'tea');
    await first.clock.advance(10);
    await first.until(first.stop());
    await broker.clock.advance(60_000);
    await using second = await createTestMaster({ broker });
    await second.until(second.schedule('reminder', asks));
    await broker.clock.advance(10);
    expect(heard(second, 'remind')).toEqual([['tea']]);
  });
});

describe('a transition that throws', () => {
  const logic = setup({
    types: { context: {} as { sum: number }, events: {} as { type: string; message: Message<number> } },
  }).createMachine({
    context: { sum: 0 },
    on: {
      'numbers.*': {
        actions: [
          assign(({ context, event }) => {
            if (event.message.data < 0) throw new Error('less than nothing');
            return { sum: context.sum + event.message.data };
          }),
          emit(({ context }) => say('sum', context.sum)),
        ],
      },
    },
  });

  it('is tried again and dead-lettered in the end, with the state as it was', async () => {
    await using master = await createTestMaster();
    await master.schedule('sum', { bindings: ['numbers.*'], logic, retry: { attemptsMax: 3 } });
    for (const n of [1, -1, 2]) await master.publish('numbers.new', n);
    await master.idle();
    expect(heard(master, 'sum')).toEqual([1, 3]);
    expect(master.deadLettered.map(({ reason, attempts }) => [reason, attempts])).toEqual([['attempts', 3]]);
  });

  it('takes an emission that cannot be one with it', async () => {
    await using master = await createTestMaster();
    const bad = createMachine({
      on: { 'numbers.new': { actions: emit({ type: 'publish', topic: 'a..b', data: 1 }) } },
    });
    await master.schedule('bad', { bindings: ['numbers.*'], logic: bad, retry: { attemptsMax: 1 } });
    await master.publish('numbers.new', 1);
    await master.idle();
    expect(master.deadLettered.map(({ error }) => error)).toEqual([expect.stringContaining('a..b')]);
  });

  it('on a timer is told, and left out in the end', async () => {
    await using master = await createTestMaster();
    const told: string[] = [];
    master.on('failure', ({ id, attempt }) => void told.push(`${id.split('@')[0]} ${attempt}`));
    master.on('warning', ({ code }) => void told.push(code));
    const late = createMachine({
      id: 'late',
      initial: 'a',
      states: {
        a: {
          after: {
            10: {
              actions: () => {
                throw new Error('too late');
              },
            },
          },
        },
      },
    });
    await master.schedule('late', { bindings: ['x'], logic: late, retry: { attemptsMax: 2 } });
    await master.clock.advance(10_000);
    const timer = 'xstate.after.10.late.a';
    expect(told).toEqual([`${timer} 1`, `${timer} 2`, 'SCHEDULER_EVENT_DROPPED']);
  });
});

describe('another version of the machine', () => {
  const next = setup({
    types: {
      context: {} as { total: bigint },
      events: {} as { type: string; message: Message<number> },
    },
  }).createMachine({
    context: { total: 0n },
    initial: 'adding',
    states: {
      adding: {
        on: {
          'numbers.*': {
            actions: [
              assign({ total: ({ context, event }) => context.total + BigInt(event.message.data) }),
              emit(({ context }) => say('sums.new', context.total)),
            ],
          },
        },
      },
    },
  });
  const before = async (): Promise<TestMaster> => {
    const master = await createTestMaster();
    const scheduler = await master.schedule('sums', { bindings: ['numbers.*'], logic: sums });
    await master.publish('numbers.new', 5);
    await master.idle();
    await master.until(scheduler.stop());
    return master;
  };

  it('is refused without migrate, with both versions and a way out', async () => {
    await using master = await before();
    const options = { bindings: ['numbers.*'], logic: next, version: 2 };
    const error = await rejection(master.until(master.schedule('sums', options)));
    expect(error).toMatchObject({
      code: 'ERR_SCHEDULER_STATE',
      message: expect.stringMatching(/1.*2/) as string,
    });
    expect(error.message).toMatch(/migrate/);
  });

  it('gets what migrate has made of the state', async () => {
    await using master = await before();
    await master.schedule('sums', {
      ...{ bindings: ['numbers.*'], logic: next, version: 2 },
      migrate: (saved, from) => {
        expect(from).toBe(1);
        const snapshot = saved.snapshot as { context: { sum: number } };
        return { ...saved, snapshot: { ...snapshot, context: { total: BigInt(snapshot.context.sum) } } };
      },
    });
    await master.publish('numbers.new', 2);
    await master.idle();
    expect(heard(master, 'sums.new')).toEqual([5, 7n]);
  });

  it('that is not told is refused where the machine has no such state', async () => {
    await using master = await before();
    const logic = createMachine({ initial: 'elsewhere', states: { elsewhere: {} } });
    const options = { bindings: ['numbers.*'], logic };
    const error = await rejection(master.until(master.schedule('sums', options)));
    expect(error).toMatchObject({ code: 'ERR_SCHEDULER_STATE' });
  });
});

describe('what a machine invokes', () => {
  it('is run, its answer applied, and published with', async () => {
    await using master = await createTestMaster();
    const logic = setup({
      actors: { double: fromPromise<number, number>(({ input }) => Promise.resolve(input * 2)) },
    }).createMachine({
      initial: 'working',
      states: {
        working: { invoke: { src: 'double', input: 21, onDone: 'done' } },
        done: { entry: emit(say('answer', 42) as never) },
      },
    });
    await master.schedule('double', { bindings: ['x'], logic });
    await master.clock.advance(10);
    expect(heard(master, 'answer')).toEqual([42]);
  });

  it('is started again by the master that takes over, and left out when its state is left', async () => {
    await using first = await createTestMaster();
    await using second = await createTestMaster({ broker: first.broker });
    const begun: string[] = [];
    const machine = (name: string) =>
      setup({
        actors: {
          wait: fromPromise<void>(({ signal }) => {
            begun.push(name);
            signal.addEventListener('abort', () => begun.push(`${name} aborted`));
            return new Promise(() => {});
          }),
        },
      }).createMachine({
        initial: 'waiting',
        states: { waiting: { invoke: { src: 'wait' }, on: { go: 'gone' } }, gone: {} },
      });
    await first.schedule('wait', { bindings: ['go'], logic: machine('first') });
    await second.schedule('wait', { bindings: ['go'], logic: machine('second') });
    await first.clock.advance(10);
    first.crash();
    await second.clock.advance(10);
    await second.publish('go', 1);
    await second.idle();
    expect(begun).toEqual(['first', 'first aborted', 'second', 'second aborted']);
  });

  it('is refused unless it is a promise, before anything is declared', async () => {
    await using master = await createTestMaster();
    const callback = setup({ actors: { tick: fromCallback(() => {}) } }).createMachine({
      initial: 'a',
      states: { a: { initial: 'b', states: { b: { invoke: { src: 'tick' } } } } },
    });
    const error = await rejection(master.schedule('tick', { bindings: ['x'], logic: callback }));
    expect(error).toMatchObject({
      code: 'ERR_SCHEDULER_LOGIC',
      message: expect.stringContaining('tick') as string,
    });
    const spawning = createMachine({ entry: spawnChild(fromCallback(() => {}) as never, { id: 'child' }) });
    expect(await rejection(master.schedule('tick', { bindings: ['x'], logic: spawning }))).toMatchObject({
      code: 'ERR_SCHEDULER_LOGIC',
    });
    expect(await master.queues()).toEqual([]);
  });
});

describe('a state that cannot be saved', () => {
  const growing = setup({
    types: { context: {} as { ballast: string }, events: {} as { type: string; message: Message<number> } },
  }).createMachine({
    context: { ballast: '' },
    on: { grow: { actions: assign({ ballast: ({ event }) => 'x'.repeat(event.message.data) }) } },
  });

  it('is refused with its size, and its message is not acked', async () => {
    await using master = await createTestMaster();
    const lost: Error[] = [];
    master.on('lost', ({ reason }) => void lost.push(reason));
    const scheduler = await master.schedule('big', { bindings: ['grow'], logic: growing });
    await master.publish('grow', 20_000_000);
    await master.until(scheduler.until('failed'));
    expect(lost).toMatchObject([
      { code: 'ERR_CHECKPOINT_TOO_LARGE', message: expect.stringMatching(/200\d{5}/) as string },
    ]);
    await master.clock.advance(10);
    expect(await master.queues()).toMatchObject([{ depth: 1 }]);
  });

  it('says what is no data in it', async () => {
    await using master = await createTestMaster();
    const logic = createMachine({ context: { f: () => {} } });
    const scheduler = await master.schedule('f', { bindings: ['grow'], logic });
    await master.until(scheduler.until('failed'));
    expect(await rejection(scheduler.until('active'))).toMatchObject({ code: 'ERR_SCHEDULER_LOGIC' });
  });
});

it('a machine that has ended takes no more messages', async () => {
  await using master = await createTestMaster();
  const logic = createMachine({
    initial: 'waiting',
    states: { waiting: { on: { last: 'over' } }, over: { type: 'final' } },
    on: { '*': { actions: emit(say('heard', 1) as never) } },
  });
  await master.schedule('ending', { bindings: ['first', 'last', 'late'], logic });
  for (const topic of ['first', 'last', 'late']) await master.publish(topic, 0);
  await master.idle();
  expect(heard(master, 'heard')).toHaveLength(1);
  expect(await master.queues()).toMatchObject([{ depth: 0 }]);
});
