import { describe, expect, it, vi } from 'vitest';
import { nats } from '../brokers/nats.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { NatsLaboratory } from '../lab/nats-laboratory.js';

vi.setConfig({ testTimeout: 120_000 });

const broker = await nats();

describe.skipIf(!broker)('NATS behind a bad link', () => {
  it('is back after a reset while nothing was under way, and everybody is told of the gap', async () => {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const owner = await lab.master('owner', { broker: url });
    const publisher = await lab.master('publisher', { broker: url });
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
    const outages = states('publisher').filter((state) => state === 'connected').length;
    expect(lab.said('gap')).toHaveLength(outages);
    expect(lab.said('restart')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('sends again, flagged, what it had taken when its confirms were lost', async () => {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const publisher = await lab.master('publisher', { broker: url });
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

  it('loses nothing, and repeats nothing unflagged, when connections are reset under publishes', async () => {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const publisher = await lab.master('publisher', { broker: url });
    const consumer = await lab.master('consumer', { broker: url });
    await consumer.call('consume', { ...consume, prefetch: 50 });
    await publisher.call('start', { ...publish, perSecond: 300 });
    for (let round = 1; round <= 3; round++) {
      const before = lab.handled();
      await eventually('messages are handled', () => lab.handled() > before + 60, 30_000);
      if (round === 2) proxy.cutAfter(2_000, 'fromBroker');
      else proxy.reset();
    }
    const before = lab.handled();
    await eventually('it goes on', () => lab.handled() > before + 60, 30_000);
    expect(lab.said('restart')).toEqual([]);
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled(40_000);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('survives a link that breaks again and again', async () => {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const names = ['owner', 'standby'];
    const [owner, standby] = await Promise.all(names.map((name) => lab.master(name, { broker: url })));
    const publisher = await lab.master('publisher', { broker: url, publishTimeoutMs: 60_000 });
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
    expect((await publisher.call('stopPublishing', { producer: 'p' })).failed).toEqual({});
    await lab.settled(60_000);
    const after = await owner!.call('report');
    expect(after.openFiles).toBeLessThanOrEqual(before.openFiles + 2);
    // Full jitter: it does not try as often as the link breaks.
    const attempts = lab.said('session', 'owner').filter(({ state }) => state === 'connecting');
    expect(attempts.length).toBeLessThan(150);
    expect(lab.said('restart')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('stops in time while it declares, while there is no server, and twice', async () => {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const declaring = await lab.master('declaring', { broker: url });
    proxy.delayMs = 200;
    const consumed = declaring.call('consume', consume).catch(() => {});
    await Promise.all([declaring.call('stop'), declaring.call('stop'), consumed]);
    proxy.delayMs = 0;
    const away = await lab.master('away', { broker: url, drainTimeoutMs: 2_000 });
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
