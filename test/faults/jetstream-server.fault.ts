import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { nats } from '../brokers/nats.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { NatsLaboratory } from '../lab/nats-laboratory.js';

vi.setConfig({ testTimeout: 180_000 });

const broker = await nats();

describe.skipIf(!broker)('a NATS in trouble', () => {
  it('that is down for longer than the window fills the spool, which is sent in order', async () => {
    const { lab, node } = await NatsLaboratory.withNode();
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

  it('that stands still for longer than an owner may is found silent, and goes on with one owner', async () => {
    const { lab, node } = await NatsLaboratory.withNode();
    const [owner, standby, publisher] = await lab.masters('owner', 'standby', 'publisher');
    await publisher!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await publisher!.call('start', { ...publish, perSecond: 100 });
    await eventually('the owner handles', () => lab.handled() > 50);
    await node.freeze();
    const isAway = (name: string) =>
      lab.said('session', name).some(({ state }) => state !== 'connected' && state !== 'stopping');
    await eventually('all find it silent', () => ['owner', 'standby', 'publisher'].every(isAway), 30_000);
    node.thaw();
    const before = lab.handled();
    await eventually('somebody goes on', () => lab.handled() > before + 100, 40_000);
    expect((await publisher!.call('stopPublishing', { producer: 'p' })).failed).toEqual({});
    await lab.settled(40_000);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('that forgets what a consumer has asked it for is asked again', async () => {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const owner = await lab.master('owner', { broker: url });
    const publisher = await lab.master('publisher');
    await owner.call('consume', { ...consume, prefetch: 4 });
    // Somebody hears it, so that nobody is told that it reaches nobody.
    const listener = await lab.listen('$XX.API.CONSUMER.MSG.NEXT.>');
    proxy.forge({ from: '$JS.API.CONSUMER.MSG.NEXT.', to: '$XX.API.CONSUMER.MSG.NEXT.' });
    await publisher.call('start', { ...publish, perSecond: 50 });
    await eventually('a question is forgotten', () => listener.heard() > 0);
    proxy.forge(undefined);
    await eventually('it is asked again', () => lab.handled() > 100, 60_000);
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled(40_000);
    expect(lab.said('session')).toEqual([]);
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('of which two of three servers are gone confirms nothing, and all that it had confirmed is there when they are back', async () => {
    const { lab, nodes } = await NatsLaboratory.withCluster();
    const [owner, standby] = await lab.spread(['owner', 'standby']);
    const [publisher] = await lab.spread(['publisher'], { publishTimeoutMs: 3_000, publishWindow: 20 });
    await publisher!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await publisher!.call('start', { ...publish, perSecond: 50 });
    await eventually('the owner handles', () => lab.handled() > 50, 30_000);
    const [, second, third] = nodes;
    await Promise.all([second!.kill(), third!.kill()]);
    const heard = lab.of('confirmed').length;
    await publisher!.call('start', { ...publish, producer: 'lonely', count: 40, inFlight: 40 });
    const lonely = () => lab.of('confirmed').filter(({ producer }) => producer === 'lonely').length;
    const outcome = await publisher!.call('stopPublishing', { producer: 'lonely' });
    expect(outcome.failed).toEqual({ ERR_TIMEOUT: outcome.published });
    expect(lonely()).toBe(0);
    expect(lab.of('confirmed').length).toBeLessThanOrEqual(heard + 20);
    await Promise.all([second!.run(), third!.run()]);
    const before = lab.handled();
    await eventually('somebody handles again', () => lab.handled() > before + 100, 90_000);
    await publisher!.call('stopPublishing', { producer: 'p' });
    await lab.settled(60_000);
    expect(await owner!.call('status', { queue: QUEUE })).toMatch(/active|standby/);
    expect(await lab.ended()).toMatchObject(clean);
  });
});
