import { describe, expect, it } from 'vitest';
import type { DeliveryContext, Message } from '../../src/index.js';
import { eventually } from '../eventually.js';
import { farm } from './farm.js';

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

  it('lets nobody else notice that one of a hundred is slow', async () => {
    const master = await farm()('a');
    const gaps: unknown[] = [];
    master.on('gap', ({ subscription }) => gaps.push(subscription));
    let heard = 0;
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const mailbox = { limit: 10 };
    const slow = await master.subscribe('a', { mailbox }, () => held);
    for (let at = 0; at < 99; at++) await master.subscribe('a', { mailbox }, () => void heard++);
    for (let data = 0; data < 50; data++) await master.publish('a', data);
    await eventually('the others have heard all', () => heard === 99 * 50);
    release();
    await eventually('the slow one has caught up', () => gaps.length === 1);
    expect(gaps).toEqual([slow]);
  });

  it('keeps a flood of log lines from a slow reader within its mailbox, with one gap, and others hear all of it', async () => {
    const create = farm();
    const [builder, web] = [await create('builder'), await create('web')];
    const gaps: unknown[] = [];
    web.on('gap', ({ subscription, missed }) => gaps.push([subscription, missed]));
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const read: unknown[] = [];
    let heard = 0;
    const slow = await web.subscribe('logs.17.#', { mailbox: { limit: 100 } }, async ({ data }) => {
      read.push(data);
      await held;
    });
    await web.subscribe('logs.#', () => void heard++);
    let sent = 0;
    // 4,000 lines a second, for half a second.
    for (const began = performance.now(); sent < 2_000;) {
      const due = Math.min(2_000, (performance.now() - began) * 4);
      while (sent < due) void builder.publish('logs.17.stdio', sent++);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await eventually('the other has heard all', () => heard === 2_000);
    release();
    await eventually('the slow one has caught up', () => read.at(-1) === 1_999);
    expect(read).toHaveLength(101);
    expect(gaps).toEqual([[slow, 2_000 - 101]]);
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
