import assert from 'node:assert/strict';
import type { QueueSpec } from '../../backend.js';
import { isRetryable, QueueInUseError, QueueNotFoundError, QueueSettingsError } from '../../model/errors.js';
import { casesOf } from './case.js';
import { specOf } from './member.js';
import { ClaimRecord, collect, ConsumerRecord, numbers } from './records.js';

export const queueCases = casesOf('queues', {
  'are declared once: whoever declares again finds the same one': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await Promise.all([one.declare(queue), other.declare(queue), one.declare(queue)]);
    const { ownership } = await one.own(queue, ['#']);
    await one.publish('a.b', 1);
    await other.declare(queue);
    assert.equal(await other.session.findQueue(queue), true);
    const { told } = await other.stand(queue);
    await lab.eventually(() => told.has('standby'), 'the other stands by');
    assert.equal(told.holders[0]!.queueId, ownership.queueId);
    assert.equal((await one.session.queues()).length, 1);
    await lab.gets((await one.consume(queue, { ownership })).sink, [1]);
  },

  'are not declared with another ownership': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue, { ownership: 'exclusive' });
    await assert.rejects(master.declare(queue, { ownership: 'shared' }), (error) => {
      assert(error instanceof QueueSettingsError);
      assert.match(error.message, /ownership/);
      assert(error.message.includes(queue));
      return true;
    });
    await master.own(queue, []);
  },

  'are found, and not created, by a look': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    assert.equal(await master.session.findQueue(queue), false);
    assert.equal(await master.session.findQueue(queue), false);
    assert.equal(await master.status(queue), undefined);
    await assert.rejects(master.stand(queue), QueueNotFoundError);
  },

  'that do not exist are refused whatever is asked of them, and not created': async (lab) => {
    const { session } = await lab.connect('master');
    const queue = lab.unique('queue');
    const options = { prefetch: 1, ownership: undefined };
    const asked: Record<string, () => Promise<unknown>> = {
      claim: () => session.claim(queue, new ClaimRecord()),
      consume: () => session.consume(queue, options, new ConsumerRecord()),
      deleteQueue: () => session.deleteQueue(queue, { whileInUse: true }),
      deadLetters: () => collect(session.deadLetters(queue)),
      redrive: () => session.redrive(queue, undefined),
      'redrive of none': () => session.redrive(queue, []),
      dropDeadLetters: () => session.dropDeadLetters(queue, ['no such letter']),
    };
    for (const [name, ask] of Object.entries(asked)) await assert.rejects(ask(), QueueNotFoundError, name);
    assert.deepEqual(await session.queues(), []);
  },

  'outlive every session': async (lab) => {
    const before = await lab.connect('before');
    const queue = lab.unique('queue');
    await before.declare(queue);
    const { queueId } = (await before.own(queue, [])).ownership;
    await before.session.close();
    const after = await lab.connect('after');
    assert.equal(await after.session.findQueue(queue), true);
    assert.equal((await after.own(queue)).ownership.queueId, queueId);
    await after.crash();
    const later = await lab.connect('later');
    await later.declare(queue);
    assert.equal((await later.own(queue)).ownership.queueId, queueId);
  },

  'go with what they held when they are deleted; the next of that name is another': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const { ownership } = await master.own(queue, ['#']);
    await master.publish('a.b', 'old');
    await ownership.release();
    await master.session.deleteQueue(queue, { whileInUse: false });
    assert.equal(await master.session.findQueue(queue), false);
    assert.equal(await master.status(queue), undefined);
    await master.publish('a.b', 'between');
    await master.declare(queue);
    const owner = await master.own(queue);
    assert.notEqual(owner.ownership.queueId, ownership.queueId);
    await master.publish('a.b', 'unbound');
    await owner.ownership.bind(['#']);
    await master.publish('a.b', 'new');
    await lab.gets((await master.consume(queue, owner)).sink, ['new']);
  },

  'are not deleted while they are consumed, unless that is asked for': async (lab) => {
    const [owner, other] = [await lab.connect('owner'), await lab.connect('other')];
    const [exclusive, shared] = [lab.unique('exclusive'), lab.unique('shared')];
    await owner.declare(exclusive);
    const work = await owner.work(exclusive, { patterns: ['#'] });
    const keeper = await owner.share(shared, ['#']);
    const sharing = await owner.consume(shared);
    for (const queue of [exclusive, shared]) {
      await assert.rejects(other.session.deleteQueue(queue, { whileInUse: false }), QueueInUseError);
      assert.equal(await other.session.findQueue(queue), true);
    }
    await other.publish('a.b', 1);
    await lab.gets(work.sink, [1]);
    await lab.gets(sharing.sink, [1]);
    await owner.handOver(work);
    await owner.handOver({ ...keeper, ...sharing });
    for (const queue of [exclusive, shared]) await other.session.deleteQueue(queue, { whileInUse: false });
  },

  'tell owner and standbys when they are deleted': async (lab) => {
    const [owner, standby, other] = [
      await lab.connect('owner'),
      await lab.connect('standby'),
      await lab.connect('other'),
    ];
    const queue = lab.unique('queue');
    await owner.declare(queue);
    const work = await owner.work(queue, { patterns: ['#'] });
    const standing = await standby.stand(queue);
    await lab.eventually(() => standing.told.has('standby'), 'the standby stands by');
    await owner.publish('a.b', 1);
    await lab.gets(work.sink, [1]);
    await other.session.deleteQueue(queue, { whileInUse: true });
    await lab.eventually(() => work.told.has('lost'), 'the owner is told');
    await lab.eventually(() => standing.told.has('lost'), 'the standby is told');
    assert(!work.ownership.valid());
    assert(!standing.told.has('granted'));
    assert.deepEqual(work.sink.losses, [], 'of an exclusive queue the claim is told');

    // What is left of them does no harm to the next of that name.
    await other.declare(queue);
    const next = await other.work(queue, { patterns: ['#'] });
    await other.publish('a.b', 2);
    await lab.gets(next.sink, [2]);
    work.sink.of(1).ack();
    await assert.rejects(
      work.sink.of(1).reject({ reason: 'rejected', error: 'late', attempts: 1, history: [] }),
    );
    await work.consumer.close().catch(() => {});
    await work.ownership.release().catch(() => {});
    await work.claim.withdraw().catch(() => {});
    await standing.claim.withdraw().catch(() => {});
    assert(next.ownership.valid());
    await other.handOver(next);
    await lab.gets((await other.work(queue)).sink, [2]);
  },

  'tell the consumers of a shared queue when they are deleted': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    const keeper = await one.share(queue, ['#']);
    const works = [await one.consume(queue), await other.consume(queue)];
    await other.session.deleteQueue(queue, { whileInUse: true });
    for (const { sink } of works)
      await lab.eventually(() => sink.losses.length === 1, 'each consumer is told');
    for (const { sink } of works) assert(!isRetryable(sink.losses[0]), 'consuming again cannot succeed');
    await lab.eventually(() => keeper.told.has('lost'), 'the keeper is told');
  },

  'are listed with what is known of them': async (lab) => {
    const [owner, standby] = [await lab.connect('owner'), await lab.connect('standby')];
    const [idle, busy] = [lab.unique('idle'), lab.unique('busy')];
    await owner.declare(idle, { ownership: 'shared' });
    await owner.declare(busy);
    const { ownership, consumer, sink } = await owner.work(busy, { patterns: ['b.*', 'a.#'], prefetch: 2 });
    const { told } = await standby.stand(busy);
    await lab.eventually(() => told.has('standby'), 'the standby stands by');
    const time = lab.environment.clock.wall() - 5_000;
    for (const number of numbers(1, 5)) await owner.publish('a.b', number, { time: time + number });
    await lab.gets(sink, [1, 2]);
    const { depthKind } = lab.capabilities;
    const depth = depthKind === 'all' ? 5 : 3;
    await lab.eventually(async () => (await standby.status(busy))?.depth === depth, `the depth is ${depth}`);
    const { oldestAt, ...status } = (await standby.status(busy))!;
    assert.deepEqual(
      { ...status, bindings: [...status.bindings].sort() },
      {
        name: busy,
        ownership: 'exclusive',
        bindings: ['a.#', 'b.*'],
        depth,
        depthKind,
        owner: 'owner',
        epoch: ownership.epoch,
        standbys: ['standby'],
        state: 'active',
      },
    );
    assert(oldestAt === undefined || (oldestAt > time && oldestAt <= time + 3));
    await consumer.close();
    const rest = (await standby.status(idle))!;
    assert.deepEqual(
      { bindings: rest.bindings, ownership: rest.ownership, depth: rest.depth, owner: rest.owner },
      { bindings: [], ownership: 'shared', depth: 0, owner: undefined },
    );
    assert.deepEqual({ standbys: rest.standbys, state: rest.state }, { standbys: [], state: 'idle' });
  },

  'are compared by every setting': async (lab) => {
    const master = await lab.connect('master');
    const { queueLimit, queueExpiry } = lab.capabilities;
    const settings: Partial<QueueSpec> = {
      ...(queueLimit ? { limit: { messages: 10, onFull: 'reject-publish' } } : {}),
      ...(queueExpiry ? { expiresMs: 60_000 } : {}),
    };
    const others: Record<string, Partial<QueueSpec>> = {
      ...(queueLimit && { limit: { limit: { messages: 11, onFull: 'reject-publish' } } }),
      ...(queueExpiry && { expiresMs: { expiresMs: 70_000 } }),
    };
    const queue = lab.unique('queue');
    await master.declare(queue, settings);
    const { queueId } = (await master.own(queue)).ownership;
    for (const [setting, other] of Object.entries(others)) {
      await assert.rejects(master.declare(queue, { ...settings, ...other }), (error) => {
        assert(error instanceof QueueSettingsError);
        assert.match(error.message, new RegExp(setting));
        return true;
      });
    }
    await master.session.declareQueue(structuredClone(specOf(queue, settings)));
    await master.session.close();
    const next = await lab.connect('next');
    assert.equal((await next.own(queue)).ownership.queueId, queueId);
  },
});
