import assert from 'node:assert/strict';
import { FencedError, QueueNotFoundError } from '../../model/errors.js';
import { casesOf } from './case.js';
import { ClaimRecord, numbers } from './records.js';

export const ownershipCases = casesOf('ownership', {
  'has one owner among all that claim at once': async (lab) => {
    const queue = lab.unique('queue');
    const masters = await Promise.all(numbers(1, 5).map((number) => lab.connect(`master-${number}`)));
    await masters[0]!.declare(queue);
    const stands = await Promise.all(masters.map((master) => master.stand(queue)));
    const owners = () => stands.filter(({ told }) => told.has('granted'));
    await lab.eventually(() => owners().length > 0, 'somebody owns it');
    await owners()[0]!.told.ownership!.bind(['#']);
    const standbys = () => stands.filter(({ told }) => told.has('standby'));
    await lab.eventually(() => standbys().length === 4, 'the others stand by');
    assert.equal(owners().length, 1);
  },

  'is pushed, to one standby after the other, under epochs that grow': async (lab) => {
    const queue = lab.unique('queue');
    const masters = await Promise.all(numbers(1, 5).map((number) => lab.connect(`master-${number}`)));
    await masters[0]!.declare(queue);
    const stands = await Promise.all(masters.map((master) => master.stand(queue)));
    const served = new Set<ClaimRecord>();
    let epoch = 0;
    while (served.size < stands.length) {
      const owner = () => stands.find(({ told }) => told.ownership?.valid());
      await lab.eventually(() => owner() !== undefined, 'the next one is granted');
      const { told } = owner()!;
      assert(!served.has(told), 'each is granted once');
      served.add(told);
      assert(told.ownership!.epoch > epoch);
      epoch = told.ownership!.epoch;
      await told.ownership!.release();
    }
  },

  "tells a standby only when the holder's bindings are in place": async (lab) => {
    const [holder, standby] = [await lab.connect('holder'), await lab.connect('standby')];
    const queue = lab.unique('queue');
    await holder.declare(queue);
    const { ownership } = await holder.own(queue);
    let bound = false;
    let toldTooEarly = false;
    const told = new ClaimRecord((what) => (toldTooEarly ||= what === 'standby' && !bound));
    await standby.stand(queue, told);
    for (let look = 0; look < 5; look++) await standby.session.queues();
    bound = true;
    await ownership.bind(['a.*']);
    await lab.eventually(() => told.has('standby'), 'the standby is told');
    assert(!toldTooEarly);
    await standby.publish('a.b', 1);
    await lab.gets((await holder.consume(queue, { ownership })).sink, [1]);
  },

  'tells a standby who holds the queue, and again when that changes': async (lab) => {
    const holder = await lab.connect('holder');
    const queue = lab.unique('queue');
    await holder.declare(queue);
    const former = await holder.own(queue, ['#']);
    const standbys = await Promise.all(
      ['one', 'two'].map(async (name) => {
        const master = await lab.connect(name);
        return { name, ...(await master.stand(queue)) };
      }),
    );
    for (const { told } of standbys) await lab.eventually(() => told.has('standby'), 'both stand by');
    await former.ownership.release();
    const successor = () => standbys.find(({ told }) => told.has('granted'));
    await lab.eventually(() => successor() !== undefined, 'one of them is granted');
    const { name, told } = successor()!;
    const { epoch, queueId } = told.ownership!;
    await told.ownership!.bind(['#']);
    const other = standbys.find((standby) => standby.name !== name)!.told;
    const knows = () => other.holders.some(({ owner }) => owner === name);
    await lab.eventually(knows, 'the other is told of the new holder');
    assert.deepEqual(
      other.holders.filter(({ owner }, at) => owner !== other.holders[at - 1]?.owner),
      [
        { owner: 'holder', epoch: former.ownership.epoch, queueId },
        { owner: name, epoch, queueId },
      ],
    );
    assert(!other.has('granted'));
  },

  'is not granted again to a claim that was released': async (lab) => {
    const [first, second] = [await lab.connect('first'), await lab.connect('second')];
    const queue = lab.unique('queue');
    await first.declare(queue);
    const released = await first.own(queue, []);
    await released.ownership.release();
    const owner = await second.own(queue, []);
    await released.claim.withdraw();
    assert(owner.ownership.valid());
    await owner.ownership.release();
    const last = await (await lab.connect('last')).own(queue);
    assert(last.ownership.valid());
    assert.deepEqual(released.told.told, ['granted']);
  },

  'tells its sinks nothing when the session ends': async (lab) => {
    for (const end of ['close', 'crash'] as const) {
      const [owner, standby] = [await lab.connect(lab.unique(end)), await lab.connect(lab.unique(end))];
      const queue = lab.unique('queue');
      await owner.declare(queue);
      const work = await owner.work(queue, { patterns: ['#'] });
      const standing = await standby.stand(queue);
      await lab.eventually(() => standing.told.has('standby'), 'the standby stands by');
      await (end === 'close' ? standby.session.close() : standby.crash());
      await (end === 'close' ? owner.session.close() : owner.crash());
      const next = await lab.connect(lab.unique('next'));
      await next.publish('a.b', 1);
      await lab.gets((await next.work(queue)).sink, [1]);
      assert.deepEqual(work.told.told, ['granted']);
      assert.deepEqual(standing.told.told, ['standby']);
      assert.deepEqual([work.sink.losses, work.sink.data], [[], []]);
      await next.session.close();
    }
  },

  'tells a standby that comes later': async (lab) => {
    const [holder, standby] = [await lab.connect('holder'), await lab.connect('standby')];
    const queue = lab.unique('queue');
    await holder.declare(queue);
    await holder.own(queue, ['#']);
    const { told } = await standby.stand(queue);
    await lab.eventually(() => told.has('standby'), 'the standby is told');
  },

  'passes over a standby that has withdrawn': async (lab) => {
    const [owner, gone, next] = [
      await lab.connect('owner'),
      await lab.connect('gone'),
      await lab.connect('next'),
    ];
    const queue = lab.unique('queue');
    await owner.declare(queue);
    const { ownership } = await owner.own(queue, []);
    const withdrawn = await gone.stand(queue);
    const standing = await next.stand(queue);
    await withdrawn.claim.withdraw();
    await ownership.release();
    await next.granted(standing.told);
    assert(!withdrawn.told.has('granted'));
  },

  'leaves nothing of a claim that is withdrawn at once': async (lab) => {
    const [hasty, next] = [await lab.connect('hasty'), await lab.connect('next')];
    const queue = lab.unique('queue');
    await hasty.declare(queue);
    const { claim, told } = await hasty.stand(queue);
    await claim.withdraw();
    const { ownership } = await next.own(queue);
    assert(ownership.valid());
    assert(!told.ownership?.valid());
  },

  'is granted again to one that claims again, under a higher epoch': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const first = await master.work(queue, { patterns: ['#'] });
    await master.publish('a.b', 1);
    await lab.gets(first.sink, [1]);
    await master.handOver(first);
    const again = await master.work(queue);
    assert(again.ownership.epoch > first.ownership.epoch);
    await lab.gets(again.sink, [1]);
    first.sink.of(1).ack();
    await master.handOver(again);
    await lab.gets((await master.work(queue)).sink, [1]);
  },

  'of one queue is nothing to another': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queues = [lab.unique('queue'), lab.unique('queue')] as const;
    for (const queue of queues) await one.declare(queue);
    const first = await one.own(queues[0], ['#']);
    const second = await other.own(queues[1], ['#']);
    await assert.rejects(one.consume(queues[1], first), 'it does not own this one');
    await first.ownership.release();
    assert(second.ownership.valid());
    await other.publish('a.b', 1);
    await lab.gets((await other.consume(queues[1], second)).sink, [1]);
  },

  'is what consuming an exclusive queue takes': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    await assert.rejects(master.consume(queue));
    const { ownership } = await master.own(queue, ['#']);
    await ownership.release();
    await assert.rejects(master.consume(queue, { ownership }), FencedError);
  },

  'of a queue that does not exist cannot be claimed': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await assert.rejects(master.stand(queue), QueueNotFoundError);
    assert.equal(await master.session.findQueue(queue), false);
  },

  'says within a microsecond that it is valid, and proves it when asked': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const { ownership } = await master.own(queue, []);
    await ownership.revalidate();
    let fastest = Infinity;
    // Short rounds: one of them finds a busy machine quiet.
    for (let round = 0; round < 200 && fastest >= 1_000; round++) {
      let invalid = 0;
      const began = process.hrtime.bigint();
      for (let asked = 0; asked < 1_000; asked++) if (!ownership.valid()) invalid++;
      fastest = Math.min(fastest, Number(process.hrtime.bigint() - began) / 1_000);
      assert.equal(invalid, 0);
      // Signs of life are answered in between: held up for long enough, it is rightly not valid.
      await new Promise(setImmediate);
    }
    assert(fastest < 1_000, `valid() takes ${fastest} ns`);
  },
});
