import assert from 'node:assert/strict';
import { QueueFullError, QueueNotFoundError, UnsupportedError } from '../../model/errors.js';
import { casesOf, having, lacking } from './case.js';
import { numbers } from './records.js';

/** Limits and expiry of queues: what a backend can do it does, what it cannot do it refuses. */
export const limitCases = casesOf('queues', {
  'refuse what does not fit, while other queues take it': having('queueLimit', async (lab) => {
    const master = await lab.connect('master');
    const [full, free] = [lab.unique('full'), lab.unique('free')];
    await master.declare(full, { limit: { messages: 3, onFull: 'reject-publish' } });
    const owner = await master.own(full, ['a.*']);
    await master.share(free, ['#']);
    for (const number of numbers(1, 3)) await master.publish('a.b', number);
    await assert.rejects(master.publish('a.b', 4), (error) => {
      assert(error instanceof QueueFullError);
      // Not every broker tells which.
      if (error.queues.length > 0) assert.deepEqual(error.queues, [full]);
      return true;
    });
    await master.publish('b.b', 5);
    const { sink } = await master.consume(full, owner);
    await lab.gets(sink, [1, 2, 3]);
    for (const delivery of sink.deliveries) delivery.ack();
    await lab.eventually(
      () =>
        master.publish('a.b', 6).then(
          () => true,
          (error: unknown) => !(error instanceof QueueFullError),
        ),
      'there is room again',
    );
    await lab.gets(sink, [1, 2, 3, 6]);
    const others = await master.consume(free);
    await lab.eventually(() => others.sink.data.includes(6), 'the other queue has them');
    const taken = others.sink.data.filter((data) => data !== 4 && data !== 6);
    assert.deepEqual(taken, [1, 2, 3, 5]);
  }),

  'have what they confirmed, and nothing that they refused, of messages sent at once': having(
    'queueLimit',
    async (lab) => {
      const master = await lab.connect('master');
      const queue = lab.unique('queue');
      await master.declare(queue, { limit: { messages: 3, onFull: 'reject-publish' } });
      const owner = await master.own(queue, ['#']);
      const sent = numbers(1, 20);
      const outcomes = await Promise.allSettled(sent.map((number) => master.publish('a.b', number)));
      const confirmed = sent.filter((_, at) => outcomes[at]!.status === 'fulfilled');
      for (const outcome of outcomes)
        assert(outcome.status === 'fulfilled' || outcome.reason instanceof QueueFullError);
      assert(confirmed.length >= 3 && confirmed.length < sent.length);
      const { sink } = await master.consume(queue, owner);
      await lab.gets(sink, confirmed);
    },
  ),

  'drop the oldest of what does not fit': having('queueLimit', async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue, { limit: { messages: 3, onFull: 'drop-oldest' } });
    const owner = await master.own(queue, ['#']);
    for (const number of numbers(1, 8)) await master.publish('a.b', number);
    await lab.gets((await master.consume(queue, owner)).sink, [6, 7, 8]);
  }),

  'count what waits, not what is delivered': having('queueLimit', async (lab) => {
    for (const onFull of ['reject-publish', 'drop-oldest'] as const) {
      const master = await lab.connect(onFull);
      const queue = lab.unique('queue');
      await master.declare(queue, { limit: { messages: 3, onFull } });
      const { sink, ownership } = await master.work(queue, { patterns: ['#'], prefetch: 2 });
      await master.publishAll('a.b', [1, 2]);
      await lab.gets(sink, [1, 2]);
      for (const number of numbers(3, 5)) await master.publish('a.b', number);
      const sixth = master.publish('a.b', 6);
      if (onFull === 'reject-publish') await assert.rejects(sixth, QueueFullError);
      await sixth.catch(() => {});
      for (const at of numbers(0, 4)) {
        await lab.eventually(() => sink.deliveries.length > at, 'the next one comes');
        sink.deliveries[at]!.ack();
      }
      await lab.gets(sink, onFull === 'reject-publish' ? numbers(1, 5) : [1, 2, 4, 5, 6]);
      await ownership.bind([]);
    }
  }),

  'keep what is given back, until something newer comes': having('queueLimit', async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue, { limit: { messages: 2, onFull: 'reject-publish' } });
    const work = await master.work(queue, { patterns: ['#'], prefetch: 2 });
    await master.publishAll('a.b', [1, 2]);
    await lab.gets(work.sink, [1, 2]);
    await master.publishAll('a.b', [3, 4]);
    await work.consumer.close();
    await assert.rejects(master.publish('a.b', 5), QueueFullError);
    await lab.gets((await master.consume(queue, work)).sink, [1, 2, 3, 4]);
  }),

  'tell their owner that they are full, once, and a successor as well': having('queueLimit', async (lab) => {
    for (const onFull of ['reject-publish', 'drop-oldest'] as const) {
      const [owner, next] = [await lab.connect(lab.unique('owner')), await lab.connect(lab.unique('next'))];
      const queue = lab.unique('queue');
      await owner.declare(queue, { limit: { messages: 3, onFull } });
      const { told, ownership } = await owner.own(queue, [onFull]);
      await owner.publishAll(onFull, [1, 2]);
      assert.deepEqual(told.fulls, []);
      await owner.publish(onFull, 3);
      await lab.eventually(() => told.fulls.length > 0, 'the owner is told');
      for (const number of numbers(4, 8)) await owner.publish(onFull, number).catch(() => {});
      assert.deepEqual(told.fulls, [3]);
      const standby = await next.stand(queue);
      await ownership.release();
      await next.granted(standby.told);
      await lab.eventually(() => standby.told.fulls.length > 0, 'the successor is told');
      assert.deepEqual([told.fulls, standby.told.fulls], [[3], [3]]);
      await owner.session.close();
      await next.session.close();
    }
  }),

  'with a limit are refused by a backend that has none': lacking('queueLimit', async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    for (const onFull of ['reject-publish', 'drop-oldest'] as const)
      await assert.rejects(master.declare(queue, { limit: { messages: 3, onFull } }), UnsupportedError);
    assert.equal(await master.session.findQueue(queue), false);
  }),

  'expire after so long without a consumer': having('queueExpiry', async (lab) => {
    const master = await lab.connect('master');
    const [unused, left] = [lab.unique('unused'), lab.unique('left')];
    await master.declare(unused, { expiresMs: 1_000 });
    await master.declare(left, { expiresMs: 1_000 });
    const work = await master.work(left, { patterns: ['#'] });
    await master.publish('a.b', 1);
    await lab.gets(work.sink, [1]);
    await lab.elapse(1_500);
    const gone = async (queue: string) => !(await master.session.findQueue(queue));
    await lab.eventually(() => gone(unused), 'the one that nobody used is gone');
    assert.equal(await master.session.findQueue(left), true);
    await master.handOver(work);
    await lab.elapse(1_500);
    await lab.eventually(() => gone(left), 'the one that was left is gone');
    await assert.rejects(master.stand(left), QueueNotFoundError);
    await master.declare(left, { expiresMs: 1_000 });
    assert.notEqual((await master.own(left)).ownership.queueId, work.ownership.queueId);
  }),

  'do not expire while somebody stands by': having('queueExpiry', async (lab) => {
    const [owner, standby] = [await lab.connect('owner'), await lab.connect('standby')];
    const queue = lab.unique('queue');
    await owner.declare(queue, { expiresMs: 1_000 });
    await owner.own(queue, ['#']);
    const { told } = await standby.stand(queue);
    await lab.elapse(1_500);
    await owner.crash();
    await standby.granted(told);
    await lab.elapse(1_500);
    assert.equal(await standby.session.findQueue(queue), true);
  }),

  'do not expire for the sake of an earlier one of their name': having('queueExpiry', async (lab) => {
    const [master, other] = [await lab.connect('master'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await master.declare(queue, { expiresMs: 1_000 });
    const old = await master.work(queue, { patterns: ['#'] });
    await other.session.deleteQueue(queue, { whileInUse: true });
    await lab.eventually(() => old.told.has('lost'), 'the owner is told');
    await other.declare(queue, { expiresMs: 1_000 });
    const { sink } = await other.work(queue, { patterns: ['#'] });
    await old.consumer.close().catch(() => {});
    await old.claim.withdraw().catch(() => {});
    await lab.elapse(3_000);
    assert.equal(await other.session.findQueue(queue), true);
    await other.publish('a.b', 1);
    await lab.gets(sink, [1]);
  }),

  'can wait long for a consumer': having('queueExpiry', async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue, { expiresMs: 30 * 24 * 3_600_000 });
    await lab.elapse(1_000);
    assert.equal(await master.session.findQueue(queue), true);
  }),

  'with an expiry are refused by a backend that has none': lacking('queueExpiry', async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await assert.rejects(master.declare(queue, { expiresMs: 1_000 }), UnsupportedError);
    assert.equal(await master.session.findQueue(queue), false);
  }),
});
