import { describe, expect, it } from 'vitest';
import type { Session } from '../../src/backend.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { eventually, rejection } from '../eventually.js';
import { farm, tampered, timeUntil } from './farm.js';

/** A broker that answers publishes, and nothing that is asked about queues. */
function silent() {
  const never = () => new Promise<never>(() => {});
  return tampered((session) => {
    for (const call of ['deleteQueue', 'queues', 'declareQueue'] as const) session[call] = never;
  });
}

describe('calls about queues', () => {
  it('have a deadline on a broker that does not answer', async () => {
    const environment = virtualEnvironment();
    const { clock } = environment;
    const master = await farm()('a', { broker: silent(), environment, connectTimeoutMs: 700 });
    for (const [call, waitedMs] of [
      [() => master.queues(), 700],
      [() => master.queues({ timeoutMs: 100 }), 100],
      [() => master.deleteQueue('q'), 700],
      [() => master.deleteQueue('q', { whileInUse: true, timeoutMs: 50 }), 50],
    ] as const) {
      const refused = rejection(call());
      expect(await timeUntil(clock, refused)).toBe(waitedMs);
      expect(await refused).toMatchObject({
        code: 'ERR_DEADLINE',
        retryable: true,
        message: expect.stringMatching(`${waitedMs} ms`) as string,
      });
    }
    expect(clock.pending).toBe(0);
  });

  it('end by their signal', async () => {
    const environment = virtualEnvironment();
    const master = await farm()('a', { broker: silent(), environment });
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [master.queues({ signal }), master.deleteQueue('q', { signal })].map(rejection);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await Promise.all(calls)).toEqual([reason, reason]);
    expect(await rejection(master.queues({ signal }))).toBe(reason);
    expect(environment.clock.pending).toBe(0);
  });

  it('leave no timer behind when they are answered, and take no unknown option', async () => {
    const environment = virtualEnvironment();
    const master = await farm()('a', { environment });
    expect(await master.queues({ signal: new AbortController().signal })).toEqual([]);
    expect(await rejection(master.deleteQueue('q'))).toMatchObject({ code: 'ERR_QUEUE_NOT_FOUND' });
    expect(environment.clock.pending).toBe(0);
    for (const options of [{ timeoutMs: 0 }, { timeout: 1 }, null])
      expect(await rejection(master.queues(options as never))).toMatchObject({ code: 'ERR_OPTION' });
  });
});

describe('the signal of consume', () => {
  it('stops the consumer, which drains and hands over', async () => {
    const create = farm();
    const [one, two] = [await create('one'), await create('two')];
    const controller = new AbortController();
    let end = () => {};
    const running = new Promise<void>((resolve) => (end = resolve));
    const handled: unknown[] = [];
    const options = { bindings: ['a'], signal: controller.signal };
    const consumer = await one.consume('q', options, async ({ data }) => {
      await running;
      handled.push(data);
    });
    const heir = await two.consume('q', { bindings: ['a'] }, ({ data }) => void handled.push(data));
    for (const data of [1, 2]) await one.publish('a', data);
    controller.abort();
    expect(consumer.status).toBe('draining');
    end();
    await heir.until('active');
    await eventually('both are handled', () => handled.length === 2);
    expect([handled, consumer.status]).toEqual([[1, 2], 'stopped']);
  });

  it('rejects with its reason while the queue is being declared, and nothing comes to life later', async () => {
    const environment = virtualEnvironment();
    const sessions: Session[] = [];
    let answer = () => {};
    const broker = tampered((session) => {
      sessions.push(session);
      const declare = session.declareQueue.bind(session);
      session.declareQueue = async (spec) => {
        await new Promise<void>((resolve) => (answer = resolve));
        await declare(spec);
      };
    });
    const master = await farm()('a', { broker, environment });
    const controller = new AbortController();
    const reason = new Error('enough');
    const options = { bindings: ['a'], signal: controller.signal };
    const refused = rejection(master.consume('q', options, () => {}));
    controller.abort(reason);
    expect(await refused).toBe(reason);
    answer();
    await environment.clock.advance(60_000);
    // The broker may have the queue, but nobody stands by it.
    for (const { owner, standbys } of await master.queues())
      expect([owner, standbys]).toEqual([undefined, []]);
    expect(await rejection(master.consume('q', options, () => {}))).toBe(reason);
    expect(environment.clock.pending).toBe(0);
  });
});

describe('the limit event', () => {
  it('tells once that a queue is full, and again after it was half empty', async () => {
    const create = farm();
    const [owner, other] = [await create('owner'), await create('other')];
    const limits: unknown[] = [];
    owner.on('limit', (event) => limits.push(event));
    other.on('limit', () => limits.push('not the owner'));
    const options = { bindings: ['a'], limit: { messages: 3, onFull: 'drop-oldest' } } as const;
    const handled: unknown[] = [];
    const handler = ({ data }: { data: unknown }) => void handled.push(data);
    const consumer = await owner.consume('q', options, handler);
    await other.consume('q', options, handler);
    consumer.pause();
    await consumer.until('paused');
    for (const data of [1, 2, 3, 4, 5]) await other.publish('a', data);
    await eventually('the owner is told', () => limits.length > 0);
    expect(limits).toEqual([{ queue: 'q', depth: 3, policy: 'drop-oldest' }]);
    consumer.resume();
    await eventually('what is left is handled', () => handled.length === 3);
    consumer.pause();
    await consumer.until('paused');
    for (const data of [6, 7, 8, 9]) await other.publish('a', data);
    await eventually('the owner is told again', () => limits.length > 1);
    expect([handled, limits.length]).toEqual([[3, 4, 5], 2]);
  });
});
