import { describe, expect, it } from 'vitest';
import { RejectError, RetryError, type DeliveryContext, type Message } from '../../src/index.js';
import { eventually, rejection } from '../eventually.js';
import { farm, started } from './farm.js';

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

  it('lets the messages of one key pass many more of another that fails than it may prefetch', async () => {
    const create = farm();
    const master = await create('one');
    const [publishes, done]: [Promise<unknown>[], unknown[]] = [[], []];
    const options = {
      prefetch: 4,
      concurrency: 2,
      orderBy: ({ data }: Message) => String(data).split(' ')[0],
    };
    let isMended = false;
    await master.consume(
      'q',
      { bindings: ['a'], ...options, retry: { attemptsMax: 1_000, minDelayMs: 1, maxDelayMs: 5 } },
      ({ data }) => {
        if (!isMended && String(data).startsWith('bad')) throw new Error('not yet');
        done.push(data);
      },
    );
    for (let at = 0; at < 30; at++) publishes.push(master.publish('a', `bad ${at}`));
    publishes.push(master.publish('a', 'good'));
    await eventually('the other key is handled', () => done.length === 1);
    expect(done).toEqual(['good']);
    isMended = true;
    await eventually('all are handled', () => done.length === 31);
    expect(done.slice(1)).toEqual(Array.from({ length: 30 }, (_, at) => `bad ${at}`));
    await Promise.all(publishes);
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

  it('keeps the back-off of a message over a pause', async () => {
    const master = await farm()('a');
    const attempts: number[] = [];
    const letters: unknown[] = [];
    master.on('dead-letter', ({ reason }) => letters.push(reason));
    const retry = { attemptsMax: 3 };
    const consumer = await master.consume('q', { bindings: ['a'], retry }, (_, { attempt, settle }) => {
      attempts.push(attempt);
      settle!({ type: 'retry', delayMs: 60_000 });
    });
    await master.publish('a', 1);
    await eventually('the first attempt fails', () => attempts.length === 1);
    for (let cycle = 0; cycle < 3; cycle++) {
      consumer.pause();
      await consumer.until('paused');
      consumer.resume();
      await consumer.until('active');
      await master.publish('a', cycle);
      await eventually('it is in hand again', async () => {
        const [status] = await master.queues();
        return status!.state === 'active' && status!.depth === 2 + cycle;
      });
    }
    expect([attempts, letters]).toEqual([[1], []]);
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
