import { describe, expect, it, vi } from 'vitest';
import { nats } from './brokers/nats.js';
import { eventually } from './eventually.js';
import { clean, consume, publish, QUEUE } from './lab/broker-laboratory.js';
import { NatsLaboratory } from './lab/nats-laboratory.js';

vi.setConfig({ testTimeout: 90_000 });

const broker = await nats();

/** The faults that hurt most, on a real server; `faults/` has the others. */
describe.skipIf(!broker)('NATS JetStream', () => {
  it('hands over properly with a full prefetch: nothing is redelivered', async () => {
    const lab = NatsLaboratory.at(broker!);
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', { ...consume, handlerMs: 5 });
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 200 });
    await eventually('the owner handles', () => lab.handled('owner') > 50);
    await owner!.stop();
    await eventually('the standby handles', () => lab.handled('standby') > 50);
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('follows an owner that is killed by the standby: what was unsettled comes first, flagged', async () => {
    const lab = NatsLaboratory.at(broker!);
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', { ...consume, handlerMs: 10 });
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 120 });
    await eventually('the owner handles', () => lab.handled('owner') > 30);
    await owner!.kill();
    await eventually('the standby handles', () => lab.handled('standby') > 50);
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(lab.of('begun', 'standby')[0]).toMatchObject({ redelivered: true });
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('follows a frozen owner, and once thawed nothing that it does is accepted', async () => {
    const lab = NatsLaboratory.at(broker!);
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    // It settles and publishes what was in hand as soon as it is told.
    await owner!.call('consume', { ...consume, handlerMs: 60_000, whenAborted: 'end' });
    await standby!.call('consume', consume);
    await third!.call('publish', { ...publish, count: 10 });
    await eventually('a call has begun', () => lab.of('begun', 'owner').length > 0);
    owner!.freeze();
    await eventually('the standby handles', () => lab.handled('standby') > 0, 20_000);
    owner!.thaw();
    await eventually('the running call of the former owner is told', () => lab.of('aborted').length > 0);
    await owner!.call('until', { queue: QUEUE, status: 'standby' });
    await lab.settled();
    expect(lab.handled('owner')).toBe(0);
    expect(lab.of('refused', 'owner')).toMatchObject([{ code: 'ERR_FENCED' }]);
    expect(lab.of('handled', 'standby')[0]).toMatchObject({ redelivered: true });
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('follows an owner behind a frozen link, and accepts nothing of it when that thaws', async () => {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const owner = await lab.master('owner', { broker: url });
    const [standby, third] = await lab.masters('standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner.call('consume', { ...consume, handlerMs: 10 });
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 60 });
    await eventually('the owner handles', () => lab.handled('owner') > 20);
    proxy.freeze('toBroker', 'fromBroker');
    await eventually('the standby handles', () => lab.handled('standby') > 20, 20_000);
    proxy.thaw();
    await owner.call('until', { queue: QUEUE, status: 'standby', timeoutMs: 30_000 });
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('has what it confirmed when it is killed and started again', async () => {
    const { lab, node } = await NatsLaboratory.withNode();
    const [owner, standby, publisher] = await lab.masters('owner', 'standby', 'publisher');
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await publisher!.call('start', { ...publish, perSecond: 150 });
    await eventually('the owner handles', () => lab.handled() > 100);
    await node.kill();
    await node.run();
    const before = lab.handled();
    await eventually('somebody handles again', () => lab.handled() > before + 100, 40_000);
    expect((await publisher!.call('stopPublishing', { producer: 'p' })).failed).toEqual({});
    await lab.settled(40_000);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('of three servers loses the one that leads, and no publisher hears of it', async () => {
    const { lab, nodes } = await NatsLaboratory.withCluster();
    const masters = await lab.spread(['owner', 'standby', 'publisher']);
    const [owner, standby, publisher] = masters;
    await publisher!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await publisher!.call('start', { ...publish, perSecond: 100 });
    await eventually('the owner handles', () => lab.handled() > 100, 30_000);
    const leader = await lab.leader(nodes);
    await leader.kill();
    const before = lab.handled();
    await eventually('somebody handles again', () => lab.handled() > before + 200, 60_000);
    await leader.run();
    expect((await publisher!.call('stopPublishing', { producer: 'p' })).failed).toEqual({});
    await lab.settled(60_000);
    expect(await lab.ended()).toMatchObject(clean);
  });
});
