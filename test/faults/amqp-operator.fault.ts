import { describe, expect, it, vi } from 'vitest';
import { rabbit } from '../brokers/rabbit.js';
import { eventually } from '../eventually.js';
import type { CommandError } from '../lab/lab-master.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { RabbitLaboratory } from '../lab/rabbit-laboratory.js';

vi.setConfig({ testTimeout: 90_000 });

const broker = await rabbit();

/** People with the broker's tools. */
describe.skipIf(!broker)('what an operator does to a RabbitMQ', () => {
  const url = broker?.url ?? '';

  async function pair(plan: Partial<Parameters<typeof setUp>[1]> = {}) {
    const lab = RabbitLaboratory.at(url);
    return { lab, ...(await setUp(lab, { ...consume, ...plan })) };
  }

  async function setUp(lab: RabbitLaboratory, plan: typeof consume & { ifDeleted?: 'lost' | 'recreate' }) {
    const [owner, standby, publisher] = await lab.masters('owner', 'standby', 'publisher');
    await owner!.call('consume', plan);
    await standby!.call('consume', plan);
    const operator = await (await lab.operator()).createChannel();
    return { owner: owner!, standby: standby!, publisher: publisher!, operator };
  }

  it('a queue that is deleted is lost to all that stand for it, and is not made again', async () => {
    const { lab, owner, standby, publisher, operator } = await pair();
    await publisher.call('publish', { ...publish, count: 50 });
    await lab.settled();
    await operator.deleteQueue(lab.names.work(QUEUE));
    await owner.call('until', { queue: QUEUE, status: 'lost' });
    await operator.deleteQueue(lab.names.tokens(QUEUE));
    await standby.call('until', { queue: QUEUE, status: 'lost' });
    await publisher.call('publish', { ...publish, queues: [], count: 20 });
    expect(lab.handled()).toBe(50);
    expect(lab.said('lost').map(({ queue }) => queue)).toEqual([QUEUE, QUEUE]);
    expect(lab.said('session').filter(({ state }) => state !== 'connected')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a queue that is deleted is made again by whoever asked for that', async () => {
    const { lab, owner, publisher, operator } = await pair({ ifDeleted: 'recreate' });
    await publisher.call('start', { ...publish, producer: 'before', queues: [], perSecond: 100 });
    await eventually('the owner handles', () => lab.handled() > 20);
    await operator.deleteQueue(lab.names.work(QUEUE));
    await eventually('it is lost', () => lab.said('lost').length > 0);
    await publisher.call('stopPublishing', { producer: 'before' });
    await Promise.race(
      ['active', 'standby'].map((status) =>
        owner.call('until', { queue: QUEUE, status: status as 'active', timeoutMs: 20_000 }),
      ),
    );
    const handled = lab.handled();
    await publisher.call('start', { ...publish, producer: 'probe', queues: [], perSecond: 50 });
    await eventually('somebody handles again', () => lab.handled() > handled, 30_000);
    await publisher.call('stopPublishing', { producer: 'probe' });
    await publisher.call('publish', { ...publish, count: 100 });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a purge takes what waits, and nothing else', async () => {
    const { lab, publisher, operator } = await pair({ handlerMs: 20 });
    await publisher.call('publish', { ...publish, producer: 'purged', queues: [], count: 300 });
    const { messageCount } = await operator.purgeQueue(lab.names.work(QUEUE));
    expect(messageCount).toBeGreaterThan(0);
    await publisher.call('publish', { ...publish, count: 100 });
    await lab.settled();
    expect(lab.said('lost')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a purge of the token queue changes no owner, and the next one has the record', async () => {
    const { lab, owner, standby, publisher, operator } = await pair();
    await publisher.call('observe', { pattern: 'effects.#' });
    await publisher.call('start', { ...publish, perSecond: 100 });
    await eventually('the owner handles', () => lab.handled('owner') > 50);
    for (let round = 0; round < 20; round++) await operator.purgeQueue(lab.names.tokens(QUEUE));
    const before = lab.handled('owner');
    await eventually('the owner goes on', () => lab.handled('owner') > before + 50);
    await owner.kill();
    await eventually('the standby handles', () => lab.handled('standby') > 50);
    await standby.call('until', { queue: QUEUE, status: 'active' });
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a token queue that is deleted is made again with its queue, whose messages stay', async () => {
    const { lab, publisher, operator } = await pair({ ifDeleted: 'recreate' });
    await publisher.call('observe', { pattern: 'effects.#' });
    await publisher.call('start', { ...publish, perSecond: 100 });
    await eventually('the owner handles', () => lab.handled() > 50);
    await operator.deleteQueue(lab.names.tokens(QUEUE));
    await eventually('it is lost', () => lab.said('lost').length > 0);
    const before = lab.handled();
    await eventually('somebody goes on', () => lab.handled() > before + 100, 30_000);
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('an exchange that is deleted is made again before anything is confirmed that no queue gets', async () => {
    const { lab, publisher, operator } = await pair();
    const idler = await lab.master('idler');
    await idler.call('observe', { pattern: 'effects.#' });
    await publisher.call('start', { ...publish, perSecond: 200 });
    await eventually('the owner handles', () => lab.handled() > 50);
    for (let round = 1; round <= 3; round++) {
      await operator.deleteExchange(lab.names.events);
      // Nothing tells this one: it publishes when others have mended.
      await idler.call('publish', { ...publish, producer: `idler-${round}`, count: 20 });
      const before = lab.handled();
      await eventually('it goes on', () => lab.handled() > before + 100, 30_000);
    }
    const heard = lab.of('effect').length;
    await eventually('the subscriber of then hears of now', () => lab.of('effect').length > heard + 50);
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('refuses other settings in words, and goes on', async () => {
    const { lab, owner, publisher } = await pair();
    await publisher.call('start', { ...publish, perSecond: 100 });
    await eventually('the owner handles', () => lab.handled() > 20);
    const conflict = publisher.call('consume', {
      ...consume,
      limit: { messages: 10, onFull: 'drop-oldest' },
    });
    const refusal = (await conflict.catch((thrown: unknown) => thrown)) as CommandError;
    expect(refusal).toMatchObject({ code: 'ERR_QUEUE_SETTINGS' });
    expect(refusal.message).toMatch(/limit: it has none, asked for 10/);
    const before = lab.handled();
    await eventually('it goes on', () => lab.handled() > before + 50);
    expect(await owner.call('status', { queue: QUEUE })).toBe('active');
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(lab.said('session').filter(({ state }) => state !== 'connected')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });
});
