import { describe, expect, it, vi } from 'vitest';
import { rabbit } from '../brokers/rabbit.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { RabbitLaboratory } from '../lab/rabbit-laboratory.js';

vi.setConfig({ testTimeout: 120_000 });

const broker = await rabbit();

describe.skipIf(!broker)('RabbitMQ behind a bad link', () => {
  const url = broker?.url ?? '';

  it('is back after a reset while nothing was under way, and everybody is told of the gap', async () => {
    const lab = RabbitLaboratory.at(url);
    const { proxy, url: broken } = await lab.detour();
    const owner = await lab.master('owner', { broker: broken });
    const publisher = await lab.master('publisher', { broker: broken });
    await publisher.call('observe', { pattern: 'effects.#' });
    await owner.call('consume', consume);
    proxy.reset();
    const states = (name: string) => lab.said('session', name).map(({ state }) => state);
    await eventually('both have lost and found it', () =>
      ['owner', 'publisher'].every(
        (name) => states(name).includes('waiting') && states(name).at(-1) === 'connected',
      ),
    );
    await owner.call('until', { queue: QUEUE, status: 'active' });
    await eventually('the subscriber is told', () => lab.said('gap', 'publisher').length > 0);
    await publisher.call('publish', { ...publish, count: 50 });
    await lab.settled();
    // On a slow machine there may have been another outage: heartbeats last a second.
    const outages = states('publisher').filter((state) => state === 'connected').length;
    expect(lab.said('gap')).toHaveLength(outages);
    expect(lab.said('restart')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('sends again, flagged, what it had taken when its confirms were lost', async () => {
    const lab = RabbitLaboratory.at(url);
    const { proxy, url: broken } = await lab.detour();
    const publisher = await lab.master('publisher', { broker: broken });
    const consumer = await lab.master('consumer');
    await consumer.call('consume', consume);
    await publisher.call('start', { ...publish, perSecond: 200 });
    await eventually('messages are handled', () => lab.handled() > 50);
    for (let round = 1; round <= 3; round++) {
      const before = lab.handled();
      proxy.freeze('fromBroker');
      await eventually('the broker takes more', () => lab.handled() > before + 40);
      // The confirms are on their way, and never come.
      proxy.reset();
      proxy.thaw();
      const after = lab.handled();
      await eventually('it goes on', () => lab.handled() > after + 100, 30_000);
    }
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(lab.said('failure')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('survives a link that breaks again and again', async () => {
    const lab = RabbitLaboratory.at(url);
    const { proxy, url: broken } = await lab.detour();
    const names = ['owner', 'standby'];
    const [owner, standby] = await Promise.all(names.map((name) => lab.master(name, { broker: broken })));
    const publisher = await lab.master('publisher', { broker: broken, publishTimeoutMs: 60_000 });
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await publisher.call('start', { ...publish, perSecond: 100 });
    await eventually('messages are handled', () => lab.handled() > 50);
    const before = await owner!.call('report');
    const flapping = setInterval(() => proxy.reset(), 200);
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    clearInterval(flapping);
    const handled = lab.handled();
    await eventually('it goes on', () => lab.handled() > handled + 200, 60_000);
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled(60_000);
    const after = await owner!.call('report');
    expect(after.openFiles).toBeLessThanOrEqual(before.openFiles + 2);
    // Full jitter: it does not try as often as the link breaks.
    expect(lab.said('session', 'owner').filter(({ state }) => state === 'connecting').length).toBeLessThan(
      150,
    );
    expect(lab.said('restart')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('stops in time while it declares, while there is no broker, and twice', async () => {
    const lab = RabbitLaboratory.at(url);
    const { proxy, url: broken } = await lab.detour();
    const declaring = await lab.master('declaring', { broker: broken });
    proxy.delayMs = 200;
    const consumed = declaring.call('consume', consume).catch(() => {});
    await Promise.all([declaring.call('stop'), declaring.call('stop'), consumed]);
    proxy.delayMs = 0;
    const away = await lab.master('away', { broker: broken, drainTimeoutMs: 2_000 });
    await away.call('consume', consume);
    const hanging = away.call('publish', { ...publish, queues: [], count: 1_000, inFlight: 10 });
    proxy.freeze('toBroker', 'fromBroker');
    proxy.reset();
    await eventually('it knows', () =>
      lab.said('session', 'away').some(({ state }) => state !== 'connected' && state !== 'connecting'),
    );
    const begun = performance.now();
    await Promise.all([away.call('stop'), away.call('stop')]);
    await hanging;
    expect(performance.now() - begun).toBeLessThan(6_000);
    proxy.thaw();
    await declaring.end();
    await away.end();
    expect(await lab.ended()).toMatchObject(clean);
  });
});
