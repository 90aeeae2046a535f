import { describe, expect, it, vi } from 'vitest';
import { nats } from '../brokers/nats.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { NatsLaboratory } from '../lab/nats-laboratory.js';

vi.setConfig({ testTimeout: 120_000 });

const broker = await nats();

describe.skipIf(!broker)('masters at a NATS', () => {
  it('are restarted one after the other under 300 messages a second: nothing comes twice', async () => {
    const lab = NatsLaboratory.at(broker!);
    const publisher = await lab.master('publisher');
    const masters = await lab.masters('one-1', 'two-1', 'three-1');
    await publisher.call('observe', { pattern: 'effects.#' });
    for (const master of masters) await master.call('consume', consume);
    await publisher.call('start', { ...publish, perSecond: 300 });
    await eventually('messages are handled', () => lab.handled() > 300);
    for (const master of masters) {
      const before = lab.handled();
      await master.stop();
      const next = await lab.master(master.name.replace('-1', '-2'));
      await next.call('consume', consume);
      await eventually('it goes on', () => lab.handled() > before + 300, 20_000);
    }
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('declare one queue at once: one owns it, and nothing is lost or comes twice', async () => {
    const lab = NatsLaboratory.at(broker!);
    const publisher = await lab.master('publisher');
    await publisher.call('observe', { pattern: 'effects.#' });
    const names = ['a', 'b', 'c', 'd'];
    const masters = await lab.masters(...names);
    const statuses = await Promise.all(masters.map((master) => master.call('consume', consume)));
    expect(statuses.filter((status) => status === 'active').length).toBeLessThanOrEqual(1);
    await publisher.call('publish', { ...publish, count: 300 });
    await lab.settled();
    expect(names.filter((name) => lab.handled(name) > 0)).toHaveLength(1);
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('make a message that kills its process a dead letter', async () => {
    const lab = NatsLaboratory.at(broker!);
    const [third, ...owners] = await lab.masters('third', 'a', 'b', 'c', 'd', 'e');
    const deadly = { queue: QUEUE, bindings: ['t.#'], deadlySequence: 3, attemptsMax: 2 };
    for (const owner of owners) await owner.call('consume', deadly);
    await third!.call('publish', { ...publish, queues: [], count: 6 });
    await eventually('it is a dead letter', () => lab.said('dead-letter').length === 1, 30_000);
    await eventually('what came behind it is handled', () =>
      lab.of('begun').some(({ sequence }) => sequence === 6),
    );
    const attempts = lab.of('begun').filter(({ sequence }) => sequence === 3);
    // The first call is not noted for sure, every later one is.
    expect(attempts.length).toBeLessThanOrEqual(3);
    expect(owners.filter(({ isAlive }) => isAlive).length).toBeGreaterThanOrEqual(2);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('keep what a slow handler holds, and what waits behind it', async () => {
    const lab = NatsLaboratory.at(broker!);
    const [owner, standby, publisher] = await lab.masters('owner', 'standby', 'publisher');
    const slow = { ...consume, handlerMs: 9_000, prefetch: 20 };
    await owner!.call('consume', slow);
    await standby!.call('consume', { ...consume, prefetch: 20 });
    await publisher!.call('publish', { ...publish, count: 3 });
    await lab.settled(40_000);
    expect(lab.handled('owner')).toBe(3);
    expect(lab.said('restart')).toEqual([]);
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('keep what a slow handler of a shared queue holds longer than the server waits for an ack', async () => {
    const lab = NatsLaboratory.at(broker!);
    const [one, two] = await lab.masters('one', 'two');
    const shared = { queue: QUEUE, bindings: ['t.#'], ownership: 'shared', prefetch: 4 } as const;
    await one!.call('consume', { ...shared, handlerMs: 9_000 });
    await two!.call('publish', { ...publish, count: 2 });
    await eventually('a call has begun', () => lab.of('begun').length > 0);
    await two!.call('consume', { ...shared, handlerMs: 1 });
    await lab.settled(90_000);
    expect(lab.of('begun').filter(({ redelivered }) => redelivered)).toEqual([]);
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('subscribe and stop 2,000 times in random order under load, and leave nothing', async () => {
    const lab = NatsLaboratory.at(broker!);
    const [churner, consumer, publisher] = await lab.masters('churner', 'consumer', 'publisher');
    await consumer!.call('consume', consume);
    await publisher!.call('start', { ...publish, perSecond: 200 });
    const logs = { ...publish, topic: 'logs.a', producer: 'q', queues: [] };
    await publisher!.call('start', { ...logs, perSecond: 200 });
    await eventually('messages flow', () => lab.handled() > 50);
    const before = await lab.subscriptions('churner');
    const seed = Date.now() % 1_000_000;
    const outcome = await churner!.call('churn', { count: 2_000, seed, topics: ['t.a', 'logs.a', 'logs.b'] });
    console.log(`seed ${seed}: ${outcome.calls} calls`);
    expect(outcome.late).toBe(0);
    expect(outcome.calls).toBeGreaterThan(100);
    await eventually(
      'the server holds none of them',
      async () => (await lab.subscriptions('churner')) <= before,
    );
    for (const producer of ['p', 'q']) await publisher!.call('stopPublishing', { producer });
    await lab.settled();
    expect(lab.said('gap')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });
});
