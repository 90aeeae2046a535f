import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { rabbit } from '../brokers/rabbit.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { RabbitLaboratory } from '../lab/rabbit-laboratory.js';

vi.setConfig({ testTimeout: 180_000 });

const broker = await rabbit();

describe.skipIf(!broker)('a RabbitMQ in trouble', () => {
  it('that is down for longer than the window holds back publishers, and loses nothing', async () => {
    const { lab, node } = await RabbitLaboratory.withNode();
    const consumer = await lab.master('consumer');
    const options = { publishWindow: 50, publishTimeoutMs: 3_000 };
    const publisher = await lab.master('publisher', options);
    await consumer.call('consume', consume);
    await publisher.call('start', { ...publish, perSecond: 200, inFlight: 100 });
    await eventually('messages are handled', () => lab.handled() > 100);
    const { rss } = await publisher.call('report');
    await node.kill();
    await eventually('publishers are told', () => lab.said('session', 'publisher').length > 2, 20_000);
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect((await publisher.call('report')).rss).toBeLessThan(rss + 50_000_000);
    await node.run();
    const before = lab.handled();
    await eventually('it goes on', () => lab.handled() > before + 100, 40_000);
    const { failed } = await publisher.call('stopPublishing', { producer: 'p' });
    // Each of them was told, none confirmed.
    expect(Object.keys(failed)).toEqual(['ERR_TIMEOUT']);
    await lab.settled(40_000);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('that is down for longer than the window fills the spool, which is sent in order', async () => {
    const { lab, node } = await RabbitLaboratory.withNode();
    const consumer = await lab.master('consumer');
    const options = { publishWindow: 50, publishTimeoutMs: 500, spool: join(lab.root, 'state', 'spool') };
    const publisher = await lab.master('publisher', options);
    await consumer.call('consume', consume);
    await publisher.call('start', { ...publish, perSecond: 100, inFlight: 100 });
    await eventually('messages are handled', () => lab.handled() > 100);
    await node.kill();
    await eventually('publishes are spooled', () => lab.said('spool').length > 0, 20_000);
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    await node.run();
    const before = lab.handled();
    await eventually('what was spooled is handled', () => lab.handled() > before + 300, 40_000);
    const { failed, published, confirmed } = await publisher.call('stopPublishing', { producer: 'p' });
    expect(failed).toEqual({});
    expect(confirmed).toBe(published);
    await lab.settled(40_000);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('under a memory alarm takes no publishes, while consumers go on and owners keep what is theirs', async () => {
    const { lab, node } = await RabbitLaboratory.withNode();
    const [owner, standby, publisher] = await lab.masters('owner', 'standby', 'publisher');
    await owner!.call('consume', { queue: QUEUE, bindings: ['t.#'], handlerMs: 5 });
    await standby!.call('consume', { queue: QUEUE, bindings: ['t.#'], handlerMs: 5 });
    await publisher!.call('publish', { ...publish, producer: 'before', count: 2_000 });
    await publisher!.call('start', { ...publish, perSecond: 100 });
    await node.control('set_vm_memory_high_watermark', '0.0000001');
    await eventually('the publisher is told', () =>
      lab.said('session', 'publisher').some(({ state }) => state === 'blocked'),
    );
    const before = lab.handled('owner');
    await eventually('what waits is handled', () => lab.handled('owner') > before + 200, 20_000);
    // Longer than an owner may be silent.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(await owner!.call('status', { queue: QUEUE })).toBe('active');
    await node.control('set_vm_memory_high_watermark', '0.8');
    await eventually('it goes on', () => lab.handled('owner') > 2_200, 30_000);
    await publisher!.call('stopPublishing', { producer: 'p' });
    await lab.settled(30_000);
    expect(lab.handled('standby')).toBe(0);
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('does not take back what an owner holds for longer than its consumer timeout', async () => {
    const { lab } = await RabbitLaboratory.withNode({
      settings: ['consumer_timeout = 4000'],
      flags: ['-rabbit channel_tick_interval 500'],
    });
    const plan = { consumerTimeoutMs: 4_000 };
    const [owner, standby] = [await lab.master('owner', plan), await lab.master('standby', plan)];
    const publisher = await lab.master('publisher', plan);
    const slow = { ...consume, handlerMs: 5_500, prefetch: 10 };
    await owner.call('consume', slow);
    await standby.call('consume', slow);
    await publisher.call('publish', { ...publish, count: 4 });
    await lab.settled(60_000);
    expect(lab.handled('owner')).toBe(4);
    expect(lab.said('restart')).toEqual([]);
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('takes back what a shared queue has handed out for too long: it comes again, flagged', async () => {
    const { lab } = await RabbitLaboratory.withNode({
      settings: ['consumer_timeout = 4000'],
      flags: ['-rabbit channel_tick_interval 500'],
    });
    const [one, two] = await lab.masters('one', 'two');
    const shared = { queue: QUEUE, bindings: ['t.#'], ownership: 'shared', prefetch: 4 } as const;
    await one!.call('consume', { ...shared, handlerMs: 6_000, attemptsMax: 50 });
    await two!.call('publish', { ...publish, count: 2 });
    await eventually('a call has begun', () => lab.of('begun').length > 0);
    await two!.call('consume', { ...shared, handlerMs: 1, attemptsMax: 50 });
    await lab.settled(30_000);
    expect(await lab.ended()).toMatchObject(clean);
  });
});
