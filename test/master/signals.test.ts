import { describe, expect, it } from 'vitest';
import type { Backend, Session } from '../../src/backend.js';
import { memoryBackend } from '../../src/backends/memory/index.js';
import { createMaster } from '../../src/index.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { rejection } from '../eventually.js';
import { farm, tampered, timeUntil } from './farm.js';

const never = () => new Promise<never>(() => {});

interface Wait {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A master whose broker, once it is told to, answers nothing more, and a consumer from before that. */
async function deaf() {
  const environment = virtualEnvironment();
  const sessions: Session[] = [];
  const broker = tampered((session) => sessions.push(session));
  const master = await farm()('a', { broker, environment, connectTimeoutMs: 700, drainTimeoutMs: 5_000 });
  const consumer = await master.consume('old', { bindings: ['old'] }, () => {});
  await consumer.until('active');
  const stream = await master.messages('old');
  for (const session of sessions) {
    for (const call of ['publish', 'deleteQueue', 'declareQueue', 'queues', 'listen'] as const)
      session[call] = never;
    for (const call of ['redrive', 'dropDeadLetters', 'claim', 'consume'] as const) session[call] = never;
    session.deadLetters = () => ({ [Symbol.asyncIterator]: () => ({ next: never, return: never }) });
  }
  return { environment, master, consumer, stream };
}

type Deaf = Awaited<ReturnType<typeof deaf>>;

/** Every call that waits for somebody else; how long it waits if it is not told, and not told of an option for that. */
const waiting: Record<string, { call: (world: Deaf, wait: Wait) => Promise<unknown>; waitsMs?: number }> = {
  publish: { call: ({ master }, wait) => master.publish('a', 1, wait) },
  waitFor: { call: ({ master }, wait) => master.waitFor('old', wait) },
  until: { call: ({ consumer }, wait) => consumer.until('paused', wait) },
  queues: { call: ({ master }, wait) => master.queues(wait) },
  deleteQueue: { call: ({ master }, wait) => master.deleteQueue('old', wait) },
  deadLetters: { call: ({ master }, wait) => master.deadLetters('old', wait).next() },
  redrive: { call: ({ master }, wait) => master.redrive('old', wait) },
  dropDeadLetters: { call: ({ master }, wait) => master.dropDeadLetters('old', wait) },
  consume: {
    call: ({ master }, { signal }) =>
      master.consume('new', { bindings: ['a'], ...(signal && { signal }) }, () => {}),
    waitsMs: 700,
  },
};

describe('every call that waits', () => {
  for (const [name, { call, waitsMs }] of Object.entries(waiting)) {
    it(`has a deadline, and ends by its signal at once, before and midway: ${name}`, async () => {
      const world = await deaf();
      const { clock } = world.environment;
      const overdue = rejection(call(world, waitsMs === undefined ? { timeoutMs: 340 } : {}));
      const waitedMs = waitsMs ?? 340;
      const tookMs = await timeUntil(clock, overdue);
      expect(tookMs).toBeGreaterThanOrEqual(waitedMs);
      expect(tookMs).toBeLessThan(waitedMs + 40);
      expect((await overdue).code).toMatch(/^ERR_(DEADLINE|TIMEOUT)$/);

      const reason = new Error('enough');
      expect(await rejection(call(world, { signal: AbortSignal.abort(reason) }))).toBe(reason);

      const controller = new AbortController();
      const given = rejection(call(world, { signal: controller.signal }));
      await clock.advance(50);
      controller.abort(reason);
      expect(await timeUntil(clock, given)).toBe(0);
      expect(await given).toBe(reason);
    });

    it(`refuses a signal that is none: ${name}`, async () => {
      const refused = await rejection(call(await deaf(), { signal: {} as never }));
      expect(refused).toMatchObject({ code: 'ERR_OPTION', message: 'signal must be an AbortSignal.' });
    });
  }

  it('ends by a signal that was aborted before, also while there is no session', async () => {
    const environment = virtualEnvironment();
    const { master, cut } = await cutOff(environment);
    cut();
    await environment.clock.advance(10);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    expect(await rejection(master.queues({ signal }))).toBe(reason);
    expect(await rejection(master.deadLetters('q', { signal }).next())).toBe(reason);
  });
});

async function cutOff(environment: ReturnType<typeof virtualEnvironment>) {
  const hub = memoryBackend();
  let isDown = false;
  let drop = () => {};
  const broker: Backend = {
    name: 'broker',
    connect: async (options) => {
      if (isDown) return never();
      const session = await hub.connect(options);
      drop = () => (session as unknown as { drop: (reason: Error) => void }).drop(new Error('cut'));
      return session;
    },
  };
  const master = await farm()('a', { broker, environment });
  const cut = () => {
    isDown = true;
    drop();
  };
  return { master, cut };
}

describe('an iteration', () => {
  it('over messages ends by its signal at once, also when the broker does not let go', async () => {
    const environment = virtualEnvironment();
    const broker = tampered((session) => {
      const listen = session.listen.bind(session);
      session.listen = async (sink) => Object.assign(await listen(sink), { unbind: never });
    });
    const master = await farm()('a', { broker, environment });
    const controller = new AbortController();
    const stream = await master.messages('a', { signal: controller.signal });
    const next = rejection(stream.next());
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await timeUntil(environment.clock, next)).toBe(0);
    expect(await next).toBe(reason);
    expect(await rejection(stream.next())).toBe(reason);
    await timeUntil(environment.clock, master.stop());
  });

  it('over messages takes no signal that has aborted', async () => {
    const { master } = await deaf();
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    expect(await rejection(master.messages('a', { signal }))).toBe(reason);
    expect(await rejection(master.subscribe('a', { signal }, () => {}))).toBe(reason);
  });
});

describe('createMaster', () => {
  const silent: Backend = { name: 'silent', connect: never };

  it('ends by its signal, also when its broker answers nothing', async () => {
    const environment = virtualEnvironment();
    const controller = new AbortController();
    const options = { name: 'a', broker: silent, environment, signal: controller.signal };
    const starting = rejection(createMaster(options));
    await environment.clock.advance(100);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await timeUntil(environment.clock, starting)).toBe(0);
    expect(await starting).toBe(reason);
    expect(environment.clock.pending).toBe(0);
    expect(await rejection(createMaster(options))).toBe(reason);
  });

  it('ends at its deadline when a backend heeds no signal, and closes what comes too late', async () => {
    const environment = virtualEnvironment();
    const hub = memoryBackend();
    let come = () => {};
    let isClosed = false;
    const broker: Backend = {
      name: 'slow',
      connect: async (options) => {
        await new Promise<void>((resolve) => (come = resolve));
        const session = await hub.connect({ ...options, signal: new AbortController().signal });
        void session.closed.then(() => (isClosed = true));
        return session;
      },
    };
    const starting = rejection(createMaster({ name: 'a', broker, environment, connectTimeoutMs: 500 }));
    expect(await timeUntil(environment.clock, starting)).toBe(500);
    expect((await starting).code).toBe('ERR_CONNECT');
    come();
    await environment.clock.advance(0);
    expect([isClosed, environment.clock.pending]).toEqual([true, 0]);
  });

  it('takes no signal that is none', async () => {
    const refused = createMaster({ name: 'a', broker: silent, signal: 'soon' as never });
    expect(await rejection(refused)).toMatchObject({ code: 'ERR_OPTION' });
  });
});

describe('until', () => {
  it('takes no option that makes no sense', async () => {
    const { consumer } = await deaf();
    for (const options of [{ timeoutMs: NaN }, { timeout: 1 }, null])
      expect(await rejection(consumer.until('paused', options as never))).toMatchObject({
        code: 'ERR_OPTION',
      });
  });
});
