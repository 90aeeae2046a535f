import { afterEach, describe, expect, it } from 'vitest';
import {
  createMaster,
  RejectError,
  RetryError,
  type DeliveryContext,
  type Master,
  type MasterOptions,
  type Message,
  type TimeoutError,
} from '../src/index.js';
import type { Backend, Session } from '../src/backend.js';
import type { HubSession } from '../src/backends/hub/hub-session.js';
import { memoryBackend } from '../src/backends/memory/index.js';
import { systemEnvironment } from '../src/model/clock.js';
import { AccessError, ConnectError } from '../src/model/errors.js';
import { eventually, rejection } from './eventually.js';

const started: Master[] = [];
let hubs = 0;

/** Masters of one hub, stopped after the test. */
function farm(): (name: string, options?: Partial<MasterOptions>) => Promise<Master> {
  const broker = `memory:test-${++hubs}`;
  return async (name, options = {}) => {
    const master = await createMaster({ name, broker, ...options });
    started.push(master);
    return master;
  };
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((master) => master.stop()));
});

describe('publish and subscribe', () => {
  it('hands a message to a subscriber of another master, with everything that belongs to it', async () => {
    const create = farm();
    const [publisher, listener] = [await create('build-1'), await create('web-1')];
    const got: [Message, DeliveryContext][] = [];
    await listener.subscribe('builds.*.started', (message, delivery) => got.push([message, delivery]));
    const at = new Date(1_000);
    const receipt = await publisher.publish(
      ['builds', '1.7', 'started'],
      { builder: 'linux', at },
      { headers: { tenant: 'blue' } },
    );
    await eventually('the handler is called', () => got.length === 1);
    const [message, delivery] = got[0]!;
    expect(receipt).toEqual({ id: message.id, outcome: 'confirmed' });
    expect(message).toMatchObject({
      topic: 'builds.1%2E7.started',
      words: ['builds', '1.7', 'started'],
      data: { builder: 'linux', at },
      source: 'build-1',
      headers: { tenant: 'blue' },
      params: {},
      key: undefined,
    });
    expect(message.time).toBeInstanceOf(Date);
    expect(Object.isFrozen(message)).toBe(true);
    expect(delivery).toMatchObject({ attempt: 1, redelivered: false, master: 'web-1' });
    expect([delivery.queue, delivery.epoch, delivery.settle]).toEqual([undefined, undefined, undefined]);
    expect(delivery.signal.aborted).toBe(false);
  });

  it('calls a subscriber of several patterns once for each message', async () => {
    const master = await farm()('a');
    const topics: string[] = [];
    await master.subscribe({ patterns: ['a.#', '*.b', ['a', 'b']] }, ({ topic }) => topics.push(topic));
    await master.publish('a.b', 1);
    await master.publish('c.b', 2);
    await eventually('both arrive', () => topics.length >= 2);
    expect(topics).toEqual(['a.b', 'c.b']);
  });

  it('is not changed by what the publisher does to its object afterwards, nor by another handler', async () => {
    const master = await farm()('a');
    const seen: unknown[] = [];
    await master.subscribe('a', ({ data }) => {
      const { at } = data as { at: Date };
      at.setTime(0);
    });
    await master.subscribe('a', ({ data }) => seen.push(data));
    const data = { list: [1], at: new Date(5) };
    const published = master.publish('a', data);
    data.list.push(2);
    data.at.setTime(9);
    await published;
    await eventually('it arrives', () => seen.length === 1);
    expect(seen[0]).toEqual({ list: [1], at: new Date(5) });
  });

  it('reports a handler that throws, whatever it throws, and goes on', async () => {
    const master = await farm()('a');
    const failures: unknown[] = [];
    const handled: unknown[] = [];
    master.on('failure', ({ error, topic, patterns }) => failures.push([error.message, topic, patterns]));
    master.on('failure', () => {
      throw new Error('a listener that throws harms nobody');
    });
    await master.subscribe('a', ({ data }) => {
      if (data === 1) throw new Error('broken');
      if (data === 2) return Promise.reject('no error at all');
      handled.push(data);
      return undefined;
    });
    for (const data of [1, 2, 3]) await master.publish('a', data);
    await eventually('the third is handled', () => handled.length === 1);
    expect(failures).toEqual([
      ['broken', 'a', ['a']],
      ['The handler threw no error at all, which is no Error.', 'a', ['a']],
    ]);
  });

  it('never calls the handler again once stop has resolved, and stopping twice is stopping once', async () => {
    const create = farm();
    const [master, other] = [await create('a'), await create('b')];
    let calls = 0;
    const subscription = await master.subscribe('a', () => {
      calls++;
    });
    for (let at = 0; at < 100; at++) void other.publish('a', at);
    await Promise.all([subscription.stop(), subscription.stop()]);
    const before = calls;
    await other.publish('a', 'late');
    await subscription.stop();
    expect([calls, subscription.status]).toEqual([before, 'stopped']);
  });

  it('ends by its signal', async () => {
    const master = await farm()('a');
    const controller = new AbortController();
    const subscription = await master.subscribe('a', { signal: controller.signal }, () => {});
    controller.abort();
    await subscription.ended;
    expect(subscription.status).toBe('stopped');
    await expect(master.subscribe('a', { signal: controller.signal }, () => {})).rejects.toThrow(/aborted/);
  });

  it('announces one gap when a slow subscriber finds its mailbox full', async () => {
    const master = await farm()('a');
    const gaps: unknown[] = [];
    const got: unknown[] = [];
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    master.on('gap', ({ reason, missed }) => gaps.push([reason, missed]));
    await master.subscribe('a', { mailbox: { limit: 2 } }, async ({ data }) => {
      got.push(data);
      await held;
    });
    await master.publish('a', 0);
    await eventually('the first call runs', () => got.length === 1);
    for (const data of [1, 2, 3, 4, 5]) await master.publish('a', data);
    release();
    await eventually('the rest is handled', () => got.length === 3);
    expect(got).toEqual([0, 4, 5]);
    expect(gaps).toEqual([['mailbox', 3]]);
  });

  it('sends to an actor that takes events', async () => {
    const master = await farm()('a');
    const events: unknown[] = [];
    await master.subscribe('changes.#', { send: ({ type, message }) => events.push([type, message.data]) });
    await master.publish('changes.1.new', 'x');
    await eventually('the event is sent', () => events.length === 1);
    expect(events).toEqual([['changes.1.new', 'x']]);
  });
});

describe('consume', () => {
  it('gives an exclusive queue one owner, and hands over in order when it stops', async () => {
    const create = farm();
    const [one, two] = [await create('one'), await create('two')];
    const got: [string, unknown, boolean, number | undefined][] = [];
    const handler = ({ data }: Message, delivery: DeliveryContext) =>
      void got.push([delivery.master, data, delivery.redelivered, delivery.epoch]);
    const first = await one.consume('q', { bindings: ['a.#'] }, handler);
    const second = await two.consume('q', { bindings: ['a.#'] }, handler);
    expect([first.status, second.status]).toEqual(['active', 'standby']);
    for (let at = 0; at < 5; at++) await one.publish('a', at);
    await eventually('they are handled', () => got.length === 5);
    await first.stop();
    await second.until('active');
    for (let at = 5; at < 10; at++) await two.publish('a', at);
    await eventually('the rest is handled', () => got.length === 10);
    expect(got.map(([master, data]) => [master, data])).toEqual([
      ...[0, 1, 2, 3, 4].map((at) => ['one', at]),
      ...[5, 6, 7, 8, 9].map((at) => ['two', at]),
    ]);
    expect(got.some(([, , redelivered]) => redelivered)).toBe(false);
    expect(got[9]![3]).toBeGreaterThan(got[0]![3]!);
  });

  it('keeps what is published while nobody consumes', async () => {
    const create = farm();
    const master = await create('one');
    const consumer = await master.consume('q', { bindings: ['a'] }, () => {});
    await consumer.stop();
    await master.publish('a', 'meanwhile');
    const got: unknown[] = [];
    await (await create('two')).consume('q', { bindings: ['a'] }, ({ data }) => void got.push(data));
    await eventually('it is handled', () => got.length === 1);
    expect(got).toEqual(['meanwhile']);
  });

  it('gives each message of a shared queue to one of all consumers', async () => {
    const create = farm();
    const got: [string, unknown][] = [];
    for (const name of ['one', 'two', 'three'])
      await (
        await create(name)
      ).consume(
        'q',
        { bindings: ['a'], ownership: 'shared', concurrency: 2, prefetch: 2 },
        async ({ data }, d) => {
          await new Promise((resolve) => setImmediate(resolve));
          got.push([d.master, data]);
        },
      );
    await Promise.all(Array.from({ length: 60 }, (_, at) => started[0]!.publish('a', at)));
    await eventually('all are handled', () => got.length === 60);
    expect(got.map(([, data]) => data as number).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 60 }, (_, at) => at),
    );
    expect(new Set(got.map(([master]) => master)).size).toBe(3);
  });

  it('retries a failing message in its place, and dead-letters it after attemptsMax calls', async () => {
    const master = await farm()('a');
    const calls: [unknown, number, boolean][] = [];
    const letters: unknown[] = [];
    master.on('dead-letter', ({ queue, reason, error }) => letters.push([queue, reason, error]));
    await master.consume(
      'q',
      { bindings: ['a'], retry: { attemptsMax: 3, minDelayMs: 1 } },
      ({ data }, delivery) => {
        calls.push([data, delivery.attempt, delivery.redelivered]);
        if (data === 'bad') throw new Error('no good');
      },
    );
    await master.publish('a', 'bad');
    await master.publish('a', 'good');
    await eventually('the good one is handled', () => calls.some(([data]) => data === 'good'));
    expect(calls).toEqual([
      ['bad', 1, false],
      ['bad', 2, true],
      ['bad', 3, true],
      ['good', 1, false],
    ]);
    expect(letters).toEqual([['q', 'attempts', 'no good']]);
  });

  it('lets later messages pass a failing one when asked to', async () => {
    const master = await farm()('a');
    const handled: unknown[] = [];
    await master.consume('q', { bindings: ['a'], onFailure: 'pass' }, ({ data }, { attempt }) => {
      if (data === 'bad' && attempt === 1) throw new RetryError({ delayMs: 20 });
      handled.push(data);
    });
    await master.publish('a', 'bad');
    await master.publish('a', 'good');
    await eventually('both are handled', () => handled.length === 2);
    expect(handled).toEqual(['good', 'bad']);
  });

  it('dead-letters at once what a handler rejects, by a throw or by a word', async () => {
    const master = await farm()('a');
    const letters: unknown[] = [];
    master.on('dead-letter', ({ reason, error }) => letters.push([reason, error]));
    await master.consume('q', { bindings: ['a'] }, ({ data }, delivery) => {
      if (data === 1) throw new RejectError('thrown');
      delivery.settle!({ type: 'reject', reason: 'said' });
      delivery.settle!({ type: 'ack' });
    });
    await master.publish('a', 1);
    await master.publish('a', 2);
    await eventually('both are dead letters', () => letters.length === 2);
    expect(letters).toEqual([
      ['rejected', 'thrown'],
      ['rejected', 'said'],
    ]);
  });

  it('aborts the signal of a handler that runs past its deadline, and calls it again', async () => {
    const master = await farm()('a');
    const attempts: number[] = [];
    const failures: unknown[] = [];
    master.on('failure', ({ error }) => failures.push((error as { code?: string }).code));
    await master.consume(
      'q',
      { bindings: ['a'], handlerTimeoutMs: 20, retry: { minDelayMs: 1 } },
      async (_, { attempt, signal }) => {
        attempts.push(attempt);
        if (attempt === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    );
    await master.publish('a', 1);
    await eventually('the second call', () => attempts.length === 2);
    expect([attempts, failures]).toEqual([[1, 2], ['ERR_HANDLER_TIMEOUT']]);
  });

  it('does not call while paused, and keeps its place', async () => {
    const create = farm();
    const master = await create('a');
    const got: unknown[] = [];
    const consumer = await master.consume('q', { bindings: ['a'] }, ({ data }) => void got.push(data));
    const other = await (await create('b')).consume('q', { bindings: ['a'] }, () => {});
    consumer.pause();
    await consumer.until('paused');
    await master.publish('a', 1);
    expect([got, other.status]).toEqual([[], 'standby']);
    consumer.resume();
    await eventually('it is handled after the pause', () => got.length === 1);
    expect(consumer.status).toBe('active');
  });

  it('orders lanes by key, and a slow key delays nobody else', async () => {
    const master = await farm()('a');
    const got: string[] = [];
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await master.consume(
      'q',
      { bindings: ['a'], concurrency: 2, orderBy: ({ data }) => (data as string)[0] },
      async ({ data }) => {
        if (data === 's1') await held;
        got.push(data as string);
      },
    );
    for (const data of ['s1', 's2', 'f1', 'f2', 'f3']) await master.publish('a', data);
    await eventually('the fast lane is through', () => got.length === 3);
    release();
    await eventually('the slow lane is through', () => got.length === 5);
    expect(got).toEqual(['f1', 'f2', 'f3', 's1', 's2']);
  });

  it('ends as lost when its queue is deleted, and creates it again only when asked to', async () => {
    const create = farm();
    const master = await create('a');
    const lost: unknown[] = [];
    master.on('lost', ({ queue, reason }) => lost.push([queue, (reason as { code?: string }).code]));
    const consumer = await master.consume('q', { bindings: ['a'] }, () => {});
    const keen = await master.consume('r', { bindings: ['a'], ifDeleted: 'recreate' }, () => {});
    expect(await rejection(master.deleteQueue('q'))).toMatchObject({ code: 'ERR_QUEUE_IN_USE' });
    await master.deleteQueue('q', { whileInUse: true });
    await master.deleteQueue('r', { whileInUse: true });
    await eventually('it is lost', () => consumer.status === 'lost');
    await eventually('the other is active again', () => keen.status === 'active');
    expect(lost).toEqual([
      ['q', 'ERR_QUEUE_DELETED'],
      ['r', 'ERR_QUEUE_DELETED'],
    ]);
    expect((await master.queues()).map(({ name }) => name)).toEqual(['r']);
    expect(await rejection(consumer.until('active'))).toMatchObject({ code: 'ERR_QUEUE_DELETED' });
  });

  it('takes other bindings when it becomes the owner', async () => {
    const create = farm();
    const [one, two] = [await create('one'), await create('two')];
    const first = await one.consume('q', { bindings: ['a', 'b'] }, () => {});
    const got: unknown[] = [];
    const second = await two.consume('q', { bindings: ['b', 'c'] }, ({ topic }) => void got.push(topic));
    await first.stop();
    await second.until('active');
    for (const topic of ['a', 'b', 'c']) await one.publish(topic, 1);
    await eventually('two arrive', () => got.length === 2);
    expect(got).toEqual(['b', 'c']);
    expect((await one.queues())[0]).toMatchObject({ bindings: ['b', 'c'], owner: 'two', standbys: [] });
  });

  it('gives back what a handler has not ended when the drain ends, flagged, and does not count the call', async () => {
    const create = farm();
    const one = await create('one', { drainTimeoutMs: 20 });
    const two = await create('two');
    let aborted: unknown;
    let running = false;
    const first = await one.consume('q', { bindings: ['a'] }, async (_, { signal }) => {
      running = true;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      aborted = (signal.reason as { code: string }).code;
    });
    await one.publish('a', 1);
    await one.publish('a', 2);
    await eventually('the handler runs', () => running);
    await first.stop();
    const got: unknown[] = [];
    await two.consume(
      'q',
      { bindings: ['a'] },
      ({ data }, { attempt, redelivered }) => void got.push([data, attempt, redelivered]),
    );
    await eventually('both come again', () => got.length === 2);
    expect(got).toEqual([
      [1, 1, true],
      [2, 1, false],
    ]);
    expect(aborted).toBe('ERR_STOPPED');
  });
});

describe('waitFor and messages', () => {
  it('resolves with the message, or with what check returned', async () => {
    const master = await farm()('a');
    const waiting = master.waitFor('done', { check: () => master.publish('done', 7).then(() => undefined) });
    expect(((await waiting) as Message).data).toBe(7);
    expect(await master.waitFor('never', { check: () => 'already' })).toBe('already');
  });

  it('passes on what check throws, the reason of an abort, and the deadline', async () => {
    const master = await farm()('a');
    const broken = new Error('broken');
    const check = () => {
      throw broken;
    };
    expect(await rejection(master.waitFor('a', { check }))).toBe(broken);
    const reason = new Error('enough');
    expect(await rejection(master.waitFor('a', { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(await rejection(master.waitFor('a', { timeoutMs: 1 }))).toMatchObject({ code: 'ERR_DEADLINE' });
  });

  it('iterates over messages until the loop is left', async () => {
    const master = await farm()('a');
    const stream = await master.messages('a');
    for (const data of [1, 2, 3]) await master.publish('a', data);
    const got: unknown[] = [];
    for await (const { data } of stream) if (got.push(data) === 2) break;
    expect(got).toEqual([1, 2]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it('ends an iteration with the reason of its signal, and with its master', async () => {
    const master = await farm()('a');
    const controller = new AbortController();
    const stream = await master.messages('a', { signal: controller.signal });
    const next = stream.next();
    controller.abort(new Error('enough'));
    expect((await rejection(next)).message).toBe('enough');
    const other = await master.messages('a');
    const last = other.next();
    await master.stop();
    expect(await last).toEqual({ done: true, value: undefined });
  });
});

describe('bad input', () => {
  it('is refused with a code and a text that names it, before anything is sent', async () => {
    const master = await farm()('a');
    const refused: [Promise<unknown>, string, RegExp][] = [
      [master.publish('a..b', 1), 'ERR_TOPIC', /a\.\.b/],
      [master.publish('a.*', 1), 'ERR_TOPIC', /\*/],
      [master.publish('a', () => {}), 'ERR_PAYLOAD', /data/],
      [master.publish('a', { deep: { here: Symbol('x') } }), 'ERR_PAYLOAD', /deep\.here/],
      [master.publish('a', 'x'.repeat(1_000_001)), 'ERR_PAYLOAD_TOO_LARGE', /1000000/],
      [master.publish('a', 1, { headers: { 'no good': 'x' } }), 'ERR_PAYLOAD', /no good/],
      [master.publish('a', 1, { timeoutMs: 0 }), 'ERR_OPTION', /timeoutMs/],
      [master.subscribe('#.a.#.b.#', () => {}), 'ERR_PATTERN', /#/],
      [master.subscribe({ patterns: [] }, () => {}), 'ERR_OPTION', /patterns/],
      [master.subscribe('a', 'no handler' as never), 'ERR_OPTION', /handler/],
      [master.subscribe('a', { mailbox: { limit: 0 } }, () => {}), 'ERR_OPTION', /mailbox\.limit/],
      [master.consume('no name!', { bindings: ['a'] }, () => {}), 'ERR_NAME', /no name!/],
      [master.consume('q', { bindings: [] }, () => {}), 'ERR_OPTION', /bindings/],
      [master.consume('q', { bindings: ['a'], ownership: 'mine' as never }, () => {}), 'ERR_OPTION', /mine/],
      [master.deleteQueue('nowhere'), 'ERR_QUEUE_NOT_FOUND', /nowhere/],
      [master.subscribe(null as never, () => {}), 'ERR_PATTERN', /Pattern/],
      [master.subscribe('a', null as never, () => {}), 'ERR_OPTION', /subscribe/],
      [master.publish('a', 1, null as never), 'ERR_OPTION', /publish/],
      [master.consume('q', { bindings: ['a'], expiresMs: 0 }, () => {}), 'ERR_OPTION', /expiresMs/],
      [master.consume('q', undefined as never, () => {}), 'ERR_OPTION', /consume/],
      [master.consume('q', { bindings: ['a'], orderBy: 5 as never }, () => {}), 'ERR_OPTION', /orderBy/],
      [master.waitFor('a', { timeoutMs: Infinity }), 'ERR_OPTION', /timeoutMs/],
      [createMaster(undefined as never), 'ERR_OPTION', /createMaster/],
      [createMaster({ name: 'a', broker: 'memory:', queue: './x' } as never), 'ERR_OPTION', /queue/],
      [createMaster({ name: 'a', broker: 'memory:', spool: '' }), 'ERR_OPTION', /spool/],
      [
        createMaster({ name: 'a', broker: 'memory:', spool: { folder: 'x', bytesMax: 0 } }),
        'ERR_OPTION',
        /bytesMax/,
      ],
      [createMaster({ name: '', broker: 'memory:' }), 'ERR_NAME', /master/],
      [createMaster({ name: 'a', broker: 'gopher://user:secret@host' }), 'ERR_BROKER_URL', /gopher:/],
      [createMaster({ name: 'a', broker: 'memory:', publishWindow: 1.5 }), 'ERR_OPTION', /publishWindow/],
    ];
    for (const [promise, code, text] of refused) {
      const error = await rejection(promise);
      expect(error).toMatchObject({ code, message: expect.stringMatching(text) as string });
      expect(error.message).not.toContain('secret');
    }
  });

  it('names the difference when a queue exists with other settings', async () => {
    const create = farm();
    const master = await create('a');
    await master.consume('q', { bindings: ['a'] }, () => {});
    const error = await rejection(
      (await create('b')).consume('q', { bindings: ['a'], ownership: 'shared', expiresMs: 5_000 }, () => {}),
    );
    expect(error).toMatchObject({ code: 'ERR_QUEUE_SETTINGS' });
    expect(error.message).toMatch(/ownership.*exclusive.*shared.*expiresMs.*none.*5000/);
  });
});

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

  it('can be stopped while it starts', async () => {
    const never: Backend = {
      name: 'never',
      connect: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    };
    const { Master } = await import('../src/index.js');
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

describe('supervision', () => {
  /** A hub whose sessions do something else first. */
  function tampered(tamper: (session: Session) => void): Backend {
    const hub = memoryBackend();
    return {
      name: 'tampered',
      connect: async (options) => {
        const session = await hub.connect(options);
        tamper(session);
        return session;
      },
    };
  }

  it('starts a subscriber again when its broker refuses it for now', async () => {
    let refusals = 2;
    const broker = tampered((session) => {
      const listen = session.listen.bind(session);
      session.listen = (sink) =>
        refusals-- > 0 ? Promise.reject(new ConnectError('Not now.')) : listen(sink);
    });
    const master = await farm()('a', { broker });
    const restarts: unknown[] = [];
    master.on('restart', ({ child, reason, count }) => restarts.push([child, reason.message, count]));
    const got: unknown[] = [];
    await master.subscribe('a', ({ data }) => void got.push(data));
    await master.publish('a', 1);
    await eventually('it is handled', () => got.length === 1);
    expect(restarts).toEqual([
      ['subscriber-1', 'Not now.', 1],
      ['subscriber-1', 'Not now.', 2],
    ]);
  });

  it('gives up a consumer that crashes again and again, and nobody else', async () => {
    const broker = tampered((session) => {
      session.declareQueue = () => Promise.reject(new ConnectError('Never.'));
    });
    const environment = { ...systemEnvironment, random: () => 0 };
    const master = await farm()('a', { broker, environment });
    const lost: unknown[] = [];
    master.on('lost', ({ queue }) => lost.push(queue));
    const other = await master.subscribe('a', () => {});
    const error = await rejection(master.consume('q', { bindings: ['a'] }, () => {}));
    expect(error).toMatchObject({ code: 'ERR_RESTART_INTENSITY', cause: { message: 'Never.' } });
    // It rejects; it is no event as well.
    expect([lost, other.status, master.status]).toEqual([[], 'active', 'ready']);
  });

  it('comes back by itself when the session is lost, and announces one gap for each subscription', async () => {
    const sessions: HubSession[] = [];
    const broker = tampered((session) => sessions.push(session as HubSession));
    const environment = { ...systemEnvironment, random: () => 0 };
    const master = await farm()('a', { broker, environment });
    const states: string[] = [];
    const gaps: unknown[] = [];
    master.on('session', ({ state }) => states.push(state));
    master.on('gap', ({ subscription, reason }) => gaps.push([subscription.patterns, reason]));
    const heard: unknown[] = [];
    const handled: unknown[] = [];
    const subscription = await master.subscribe('a', ({ data }) => void heard.push(data));
    const consumer = await master.consume('q', { bindings: ['a'] }, ({ data }) => void handled.push(data));
    sessions[0]!.drop(new Error('The line is cut.'));
    const confirmed = master.publish('a', 'again');
    await consumer.until('active');
    await eventually('the subscriber is back', () => subscription.status === 'active');
    await confirmed;
    await eventually('it is handled', () => handled.length > 0);
    expect(states).toEqual(['waiting', 'connecting', 'connected']);
    expect(gaps).toEqual([[['a'], 'reconnect']]);
    expect(handled).toEqual(['again']);
    await master.publish('a', 'later');
    await eventually('it is heard', () => heard.includes('later'));
  });

  it('leaves no actor behind when handles stop', async () => {
    const master = await farm()('a');
    const handles = [];
    for (let at = 0; at < 250; at++) handles.push(await master.subscribe(`a.${at}`, () => {}));
    const consumer = await master.consume('q', { bindings: ['a'] }, () => {});
    const groups = () => {
      const { children } = master.actor.getSnapshot() as {
        children: { supervisor: { getSnapshot(): object } };
      };
      return (children.supervisor.getSnapshot() as { context: { children: unknown[] } }).context.children
        .length;
    };
    expect(groups()).toBe(3);
    await Promise.all([...handles.map((handle) => handle.stop()), consumer.stop()]);
    await eventually('the groups are gone', () => groups() === 0);
  });
});

describe('handlers that take their time', () => {
  it('loses nothing when a consumer is paused and resumed while a handler runs', async () => {
    const master = await farm()('a');
    const handled: unknown[] = [];
    const letters: unknown[] = [];
    master.on('dead-letter', ({ error }) => letters.push(error));
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const consumer = await master.consume(
      'q',
      { bindings: ['a'], retry: { attemptsMax: 1 } },
      async ({ data }) => {
        if (data === 1) await held;
        if (data === 2) throw new Error('bad');
        handled.push(data);
      },
    );
    for (const data of [1, 2, 3]) await master.publish('a', data);
    await eventually('the first is in hand', () => consumer.status === 'active');
    consumer.pause();
    consumer.resume();
    release();
    await eventually('all are settled', () => handled.length === 2 && letters.length === 1);
    expect([handled, letters]).toEqual([[1, 3], ['bad']]);
    expect((await master.queues())[0]).toMatchObject({ depth: 0 });
  });

  it('gives the queue to another when a handler does not end, and dead-letters its message in the end', async () => {
    const create = farm();
    const calls: string[] = [];
    const options = { bindings: ['a'], handlerTimeoutMs: 20, retry: { attemptsMax: 3, minDelayMs: 1 } };
    const letters: unknown[] = [];
    const warnings: unknown[] = [];
    for (const name of ['one', 'two']) {
      const master = await create(name, { drainTimeoutMs: 20 });
      master.on('warning', ({ code }) => warnings.push(code));
      master.on('dead-letter', ({ reason }) => letters.push(reason));
      await master.consume('q', options, ({ data }, { attempt, redelivered }) => {
        calls.push(`${name} ${String(data)} ${attempt} ${redelivered ? 'again' : 'first'}`);
        return data === 'stuck' ? new Promise(() => {}) : undefined;
      });
    }
    await started[0]!.publish('a', 'stuck');
    await started[0]!.publish('a', 'next');
    await eventually('the next message is handled', () => calls.some((call) => call.includes('next')));
    expect(calls.slice(0, 3)).toEqual(['one stuck 1 first', 'two stuck 2 again', 'one stuck 3 again']);
    expect(calls).toHaveLength(4);
    expect(letters).toEqual(['attempts']);
    expect(warnings[0]).toBe('HANDLER_STUCK');
  });
});

describe('while there is no session', () => {
  /** A master whose session is cut, and whose broker does not come back before it is told to. */
  async function cutOff(options: Partial<MasterOptions> = {}) {
    const hub = memoryBackend();
    let isDown = false;
    let refusal: Error = new ConnectError('Down.');
    const sessions: HubSession[] = [];
    const broker: Backend = {
      name: 'broker',
      connect: async (request) => {
        if (isDown) throw refusal;
        const session = (await hub.connect(request)) as HubSession;
        sessions.push(session);
        return session;
      },
    };
    const environment = { ...systemEnvironment, random: () => 0 };
    const master = await farm()('a', { broker, environment, ...options });
    const cut = (error?: Error) => {
      isDown = true;
      if (error) refusal = error;
      sessions.at(-1)!.drop(new Error('The line is cut.'));
    };
    return { master, cut, mend: () => (isDown = false) };
  }

  it('subscribe and consume reject at their deadline, and nothing of them comes to life later', async () => {
    const { master, cut, mend } = await cutOff({ connectTimeoutMs: 50 });
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    let calls = 0;
    const count = () => {
      calls++;
    };
    const [heard, consumed] = await Promise.all([
      rejection(master.subscribe('a', count)),
      rejection(master.consume('q', { bindings: ['a'] }, count)),
    ]);
    expect([heard.code, consumed.code]).toEqual(['ERR_DEADLINE', 'ERR_DEADLINE']);
    mend();
    await eventually('the session is back', () => master.status === 'ready');
    await master.publish('a', 1);
    expect([calls, await master.queues()]).toEqual([0, []]);
  });

  it('subscribe ends by its signal', async () => {
    const { master, cut } = await cutOff();
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    const controller = new AbortController();
    const subscribing = rejection(master.subscribe('a', { signal: controller.signal }, () => {}));
    controller.abort(new Error('enough'));
    expect((await subscribing).message).toBe('enough');
  });

  it('a publish past its deadline says that it was not sent, and can be retried under its id', async () => {
    const { master, cut, mend } = await cutOff();
    const got: Message[] = [];
    await master.consume('q', { bindings: ['a'] }, (message) => void got.push(message));
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    const error = await rejection(master.publish('a', 1, { timeoutMs: 20 }));
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'not-sent' });
    const retried = (error as TimeoutError).retry();
    mend();
    expect(await retried).toEqual({ id: (error as TimeoutError).id, outcome: 'confirmed' });
    await eventually('it is handled', () => got.length === 1);
    expect(got[0]!.id).toBe((error as TimeoutError).id);
    expect(await rejection((error as TimeoutError).retry())).toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
  });

  it('publishes wait in a bounded line', async () => {
    const { master, cut, mend } = await cutOff({ publishWindow: 1 });
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    const waiting = Array.from({ length: 100 }, (_, at) => master.publish('a', at));
    expect(await rejection(master.publish('a', 'too much'))).toMatchObject({ code: 'ERR_OUTBOX_FULL' });
    mend();
    expect(new Set((await Promise.all(waiting)).map(({ outcome }) => outcome))).toEqual(
      new Set(['confirmed']),
    );
  });

  it('a broker that then refuses for good fails the master, and whoever waits is told', async () => {
    const { master, cut } = await cutOff();
    const done = rejection(master.done);
    const waiting = rejection(master.waitFor('a', { timeoutMs: 60_000 }));
    const stream = await master.messages('a');
    const next = stream.next();
    cut(new AccessError('The password has changed.'));
    expect(await done).toMatchObject({ code: 'ERR_ACCESS' });
    expect(await waiting).toMatchObject({ code: 'ERR_STOPPED' });
    expect(await next).toEqual({ done: true, value: undefined });
    expect(master.status).toBe('failed');
  });

  it('a paused consumer stays paused when the session comes back', async () => {
    const { master, cut, mend } = await cutOff();
    const consumer = await master.consume('q', { bindings: ['a'] }, () => {});
    consumer.pause();
    cut();
    await eventually('the session is lost', () => consumer.status === 'waiting');
    mend();
    await consumer.until('paused');
  });
});

describe('stopping', () => {
  it('does not wait for an iteration that nobody reads', async () => {
    const master = await farm()('a');
    const stream = await master.messages('a', { mailbox: { limit: 2 } });
    const gaps: unknown[] = [];
    master.on('gap', ({ missed }) => gaps.push(missed));
    for (let at = 0; at < 5; at++) await master.publish('a', at);
    expect((await stream.next()).value).toMatchObject({ data: 3 });
    expect(gaps).toEqual([3]);
    const begun = performance.now();
    await master.stop();
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });
});
