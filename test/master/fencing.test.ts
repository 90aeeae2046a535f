import { describe, expect, it } from 'vitest';
import type { Ownership } from '../../src/backend.js';
import type { DeliveryContext } from '../../src/index.js';
import { FencedError, type TimeoutError } from '../../src/model/errors.js';
import { eventually, rejection } from '../eventually.js';
import { farm, tampered } from './farm.js';

/** A master whose handler waits, and whose ownership lapses when the test says so. */
async function owner() {
  const lapse = { isLapsed: false, revalidate: () => Promise.resolve() };
  const broker = tampered((session) => {
    const claim = session.claim.bind(session);
    session.claim = (queue, sink) =>
      claim(queue, { ...sink, granted: (ownership) => sink.granted(lapsing(ownership, lapse)) });
    const publish = session.publish.bind(session);
    session.publish = (envelope, fence) =>
      fence && !fence.valid()
        ? Promise.reject(new FencedError('Published without asking.'))
        : publish(envelope, fence);
  });
  const master = await farm()('a', { broker });
  const calls: DeliveryContext[] = [];
  const heard: unknown[] = [];
  let end = () => {};
  const held = new Promise<void>((resolve) => (end = resolve));
  await master.subscribe('out', ({ data }) => void heard.push(data));
  const consumer = await master.consume('q', { bindings: ['a'] }, (_, delivery) => {
    calls.push(delivery);
    return held;
  });
  await master.publish('a', 1);
  await eventually('the handler runs', () => calls.length === 1);
  return { master, consumer, delivery: calls[0]!, heard, end, lapse };
}

function lapsing(real: Ownership, lapse: { isLapsed: boolean; revalidate: () => Promise<void> }): Ownership {
  return new Proxy(real, {
    get: (target, name) => {
      if (name === 'valid') return () => !lapse.isLapsed && target.valid();
      if (name === 'revalidate') return () => lapse.revalidate();
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

describe('delivery.publish', () => {
  it('goes through while the master owns the queue', async () => {
    const { delivery, heard, end } = await owner();
    expect(await delivery.publish('out', 1)).toMatchObject({ outcome: 'confirmed' });
    await eventually('it is heard', () => heard.length === 1);
    end();
  });

  it('is refused once another master owns the queue, and so is what the handler settles', async () => {
    const create = farm();
    const options = { drainTimeoutMs: 20 };
    const [one, two] = [await create('one', options), await create('two', options)];
    const calls: DeliveryContext[] = [];
    const handler = (_: unknown, delivery: DeliveryContext) => {
      calls.push(delivery);
      void delivery.signal;
      return new Promise<void>(() => {});
    };
    const first = await one.consume('q', { bindings: ['a'] }, handler);
    await two.consume('q', { bindings: ['a'] }, handler);
    const heard: unknown[] = [];
    await two.subscribe('out', ({ data }) => void heard.push(data));
    await one.publish('a', 1);
    await eventually('the first handler runs', () => calls.length === 1);
    // The drain ends though the handler does not.
    await first.stop();
    await eventually('the second handler runs', () => calls.length === 2);
    const [former, successor] = calls as [DeliveryContext, DeliveryContext];
    expect([former.signal.aborted, successor.epoch! > former.epoch!]).toEqual([true, true]);
    expect(await rejection(former.publish('out', 'former'))).toMatchObject({ code: 'ERR_FENCED' });
    former.settle!({ type: 'ack' });
    await successor.publish('out', 'successor');
    await eventually('the successor is heard', () => heard.length > 0);
    expect(heard).toEqual(['successor']);
    expect((await two.queues())[0]).toMatchObject({ depth: 1 });
  });

  it('waits while the ownership has lapsed, as it was when it was called, and goes on under the same epoch', async () => {
    const { delivery, consumer, heard, end, lapse } = await owner();
    let answer = () => {};
    lapse.isLapsed = true;
    lapse.revalidate = () => new Promise((resolve) => (answer = resolve));
    const data = { list: [1] };
    const published = delivery.publish('out', data);
    data.list.push(2);
    await new Promise((resolve) => setImmediate(resolve));
    expect([heard, consumer.status, delivery.signal.aborted]).toEqual([[], 'active', false]);
    lapse.isLapsed = false;
    answer();
    await published;
    await eventually('it is heard', () => heard.length === 1);
    expect(heard).toEqual([{ list: [1] }]);
    end();
  });

  it('is refused when the lapsed ownership turns out to have ended', async () => {
    const { delivery, end, lapse } = await owner();
    lapse.isLapsed = true;
    lapse.revalidate = () => Promise.reject(new FencedError('It has another owner.'));
    expect(await rejection(delivery.publish('out', 1))).toMatchObject({ code: 'ERR_FENCED' });
    lapse.isLapsed = false;
    end();
  });

  it('ends by its signal or at its deadline while the ownership has lapsed', async () => {
    const { delivery, heard, end, lapse } = await owner();
    lapse.isLapsed = true;
    lapse.revalidate = () => new Promise(() => {});
    const controller = new AbortController();
    const reason = new Error('enough');
    const refused = rejection(delivery.publish('out', 1, { signal: controller.signal }));
    controller.abort(reason);
    expect(await refused).toBe(reason);
    const error = await rejection(delivery.publish('out', 2, { timeoutMs: 20 }));
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'not-sent' });
    lapse.isLapsed = false;
    const { id } = error as TimeoutError;
    expect(await (error as TimeoutError).retry()).toEqual({ id, outcome: 'confirmed' });
    await eventually('it is heard', () => heard.length === 1);
    expect(heard).toEqual([2]);
    end();
  });
});
