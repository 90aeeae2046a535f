import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend.js';
import { memoryBackend } from '../../src/backends/memory/index.js';
import { createMaster } from '../../src/index.js';
import { Master } from '../../src/master.js';
import { AccessError, ConnectError } from '../../src/model/errors.js';
import { rejection } from '../eventually.js';
import { farm, started } from './farm.js';

/** A broker that never answers. */
const never: Backend = {
  name: 'never',
  connect: ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
};

describe('the life of a master', () => {
  it('refuses a second living master of its name, and frees the name when it stops', async () => {
    const create = farm();
    const master = await create('twin');
    expect(await rejection(create('twin'))).toMatchObject({ code: 'ERR_MASTER_NAME_TAKEN' });
    await master.stop();
    expect((await create('twin')).status).toBe('ready');
  });

  it('stops once, resolves done, and refuses what comes after', async () => {
    const master = await farm()('a');
    await Promise.all([master.stop(), master.stop()]);
    await master.done;
    expect(master.status).toBe('stopped');
    for (const late of [
      master.publish('a', 1),
      master.subscribe('a', () => {}),
      master.consume('q', { bindings: ['a'] }, () => {}),
      master.queues(),
      master.waitFor('a'),
    ])
      expect(await rejection(late)).toMatchObject({ code: 'ERR_STOPPED' });
  });

  it('gives up its start when its signal says so, and not what has started', async () => {
    const reason = new Error('no longer wanted');
    const before = new AbortController();
    before.abort(reason);
    const options = { name: 'a', broker: never };
    expect(await rejection(createMaster({ ...options, signal: before.signal }))).toBe(reason);
    const within = new AbortController();
    const starting = rejection(createMaster({ ...options, signal: within.signal }));
    within.abort(reason);
    expect(await starting).toBe(reason);
    const after = new AbortController();
    const master = await createMaster({ name: 'a', broker: 'memory:', signal: after.signal });
    after.abort(reason);
    expect(master.status).toBe('ready');
    await master.stop();
  });

  it('can be stopped while it starts', async () => {
    const { Master } = await import('../../src/index.js');
    const master = new Master({ name: 'a', broker: never });
    const ready = rejection(master.ready);
    await master.stop();
    expect(await ready).toMatchObject({ code: 'ERR_STOPPED' });
    expect(master.status).toBe('stopped');
  });

  it('rejects at once what cannot heal, and after connectTimeoutMs what might', async () => {
    const refusing: Backend = {
      name: 'refusing',
      connect: () => Promise.reject(new AccessError('Wrong password.')),
    };
    expect(await rejection(createMaster({ name: 'a', broker: refusing }))).toMatchObject({
      code: 'ERR_ACCESS',
    });
    const down: Backend = {
      name: 'down',
      connect: () => Promise.reject(new ConnectError('Nobody listens.')),
    };
    const error = await rejection(createMaster({ name: 'a', broker: down, connectTimeoutMs: 50 }));
    expect(error).toMatchObject({
      code: 'ERR_CONNECT',
      message: expect.stringMatching(/50.*Nobody listens/) as string,
    });
  });

  it('starts on a broker that takes no publishes yet, says so, and publishes when it does', async () => {
    const hub = memoryBackend();
    let unblock = () => {};
    let published = 0;
    const full: Backend = {
      name: 'full',
      connect: async (options) => {
        options.sink.blocked('no memory left');
        unblock = () => options.sink.unblocked();
        const session = await hub.connect(options);
        const publish = session.publish.bind(session);
        session.publish = (...given) => {
          published++;
          return publish(...given);
        };
        return session;
      },
    };
    const states: unknown[] = [];
    const master = new Master({ name: 'a', broker: full });
    started.push(master);
    master.on('session', ({ state, reason }) => states.push([state, reason]));
    await master.ready;
    expect(states).toEqual([
      ['connected', ''],
      ['blocked', 'no memory left'],
    ]);
    const publishing = master.publish('a', 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(published).toBe(0);
    unblock();
    expect(await publishing).toMatchObject({ outcome: 'confirmed' });
    expect(states.at(-1)).toEqual(['connected', '']);
  });

  it('tries a broker that is down until it is there', async () => {
    const hub = memoryBackend();
    let attempts = 0;
    const late: Backend = {
      name: 'late',
      connect: (options) =>
        ++attempts < 3 ? Promise.reject(new ConnectError('Not yet.')) : hub.connect(options),
    };
    const master = await createMaster({ name: 'a', broker: late });
    started.push(master);
    expect([attempts, master.status]).toEqual([3, 'ready']);
  });

  it('stops with everything that runs: consumers hand over, subscribers end, nothing is left', async () => {
    const create = farm();
    const [one, two] = [await create('one'), await create('two')];
    const subscription = await one.subscribe('a', () => {});
    const consumer = await one.consume('q', { bindings: ['a'] }, () => {});
    const heir = await two.consume('q', { bindings: ['a'] }, () => {});
    await one.stop();
    await heir.until('active');
    expect([subscription.status, consumer.status]).toEqual(['stopped', 'stopped']);
    expect((await two.queues())[0]).toMatchObject({ owner: 'two', standbys: [] });
  });
});
