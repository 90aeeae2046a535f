import { describe, expect, it, vi } from 'vitest';
import { nats } from '../brokers/nats.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { NatsLaboratory } from '../lab/nats-laboratory.js';

vi.setConfig({ testTimeout: 90_000 });

const broker = await nats();

/** People with the broker's tools. */
describe.skipIf(!broker)('what an operator does to a NATS', () => {
  async function pair(plan: { ifDeleted?: 'lost' | 'recreate' } = {}) {
    const lab = NatsLaboratory.at(broker!);
    const [owner, standby, publisher] = await lab.masters('owner', 'standby', 'publisher');
    await owner!.call('consume', { ...consume, ...plan });
    await standby!.call('consume', { ...consume, ...plan });
    return { lab, owner: owner!, standby: standby!, publisher: publisher! };
  }

  it('a consumer that is deleted has taken its backlog along: its queue is lost, or goes on behind it', async () => {
    const { lab, publisher } = await pair();
    await publisher.call('publish', { ...publish, producer: 'before', count: 50 });
    await lab.settled();
    const [consumer] = await lab.consumers();
    await lab.operate((manager) => manager.consumers.delete(lab.names.events, consumer!));
    await eventually(
      'somebody is told, or another is made',
      async () => {
        const made = (await lab.consumers()).filter((name) => name !== consumer);
        return made.length > 0 || lab.said('lost').length > 0;
      },
      30_000,
    );
    if (lab.said('lost').length === 0) {
      const handled = lab.handled();
      await publisher.call('start', { ...publish, producer: 'probe', queues: [], perSecond: 50 });
      await eventually('the owner handles again', () => lab.handled() > handled, 30_000);
      await publisher.call('stopPublishing', { producer: 'probe' });
      await publisher.call('publish', { ...publish, count: 50 });
      await lab.settled();
    }
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a lease that is deleted is a queue that is deleted: lost to all that stand for it', async () => {
    const { lab, owner, standby, publisher } = await pair();
    await publisher.call('publish', { ...publish, count: 50 });
    await lab.settled();
    await lab.operate((manager) =>
      manager.streams.purge(lab.names.records, { filter: lab.names.lease(QUEUE) }),
    );
    await owner.call('until', { queue: QUEUE, status: 'lost', timeoutMs: 20_000 });
    await standby.call('until', { queue: QUEUE, status: 'lost', timeoutMs: 20_000 });
    expect(lab.said('lost').map(({ queue }) => queue)).toEqual([QUEUE, QUEUE]);
    await eventually('its consumer holds no message back', async () => (await lab.consumers()).length === 0);
    // The next queue of that name is another, and takes away what is left of this one when it goes.
    await publisher.call('consume', { ...consume, queue: QUEUE });
    await publisher.call('publish', { ...publish, producer: 'after', count: 20 });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a lease that is deleted is made again by whoever asked for that', async () => {
    const { lab, publisher } = await pair({ ifDeleted: 'recreate' });
    await publisher.call('publish', { ...publish, count: 50 });
    await lab.settled();
    await lab.operate((manager) =>
      manager.streams.purge(lab.names.records, { filter: lab.names.lease(QUEUE) }),
    );
    await eventually('it is lost', () => lab.said('lost').length > 0, 20_000);
    const handled = lab.handled();
    await publisher.call('start', { ...publish, producer: 'probe', queues: [], perSecond: 50 });
    await eventually('somebody handles again', () => lab.handled() > handled, 30_000);
    await publisher.call('stopPublishing', { producer: 'probe' });
    await publisher.call('publish', { ...publish, producer: 'after', count: 100 });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a stream of messages that is deleted is made again before anything is confirmed that no queue gets', async () => {
    const { lab, publisher } = await pair({ ifDeleted: 'recreate' });
    await publisher.call('start', { ...publish, producer: 'before', queues: [], perSecond: 100 });
    await eventually('the owner handles', () => lab.handled() > 50);
    await lab.operate((manager) => manager.streams.delete(lab.names.events));
    const handled = lab.handled();
    await eventually('it goes on', () => lab.handled() > handled + 100, 40_000);
    await publisher.call('stopPublishing', { producer: 'before' });
    await publisher.call('publish', { ...publish, producer: 'after', count: 100 });
    await lab.settled(40_000);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('a full stream refuses publishes in words, drops nothing, and takes them again when there is room', async () => {
    const { lab, publisher, owner, standby } = await pair();
    await owner.stop();
    await standby.stop();
    await lab.operate((manager) => manager.streams.update(lab.names.events, { max_msgs: 100 }));
    const { confirmed, failed } = await publisher.call('publish', { ...publish, count: 150, inFlight: 1 });
    expect(confirmed).toBe(100);
    expect(failed).toEqual({ ERR_BROKER_FULL: 50 });
    const late = await lab.master('late');
    await late.call('consume', consume);
    await lab.settled();
    const after = await publisher.call('publish', { ...publish, producer: 'after', count: 50, inFlight: 1 });
    expect(after).toMatchObject({ confirmed: 50, failed: {} });
    await lab.settled();
    expect(await lab.ended()).toMatchObject(clean);
  });
});
