import assert from 'node:assert/strict';
import { FencedError } from '../../model/errors.js';
import { casesOf } from './case.js';
import type { Member, Owner, Work } from './member.js';

/** The ways in which an owner stops being one. */
const endings: Record<string, (master: Member, owner: Owner & Work) => Promise<void>> = {
  'closes its consumer and releases': (master, owner) => master.handOver(owner),
  'withdraws its claim': (_, { claim }) => claim.withdraw(),
  'closes its session': ({ session }) => session.close(),
  crashes: (master) => master.crash(),
};

/** How an exclusive queue passes from its owner to a standby. */
export const successionCases = Object.entries(endings).flatMap(([ending, end]) =>
  casesOf('ownership', {
    [`passes to a standby when the owner ${ending}`]: async (lab) => {
      const [before, after] = [await lab.connect('before'), await lab.connect('after')];
      const queue = lab.unique('queue');
      await before.declare(queue);
      const former = await before.work(queue, { patterns: ['#'], prefetch: 2 });
      const standby = await after.stand(queue);
      await lab.eventually(() => standby.told.has('standby'), 'the standby is told');
      await before.publishAll('a.b', [1, 2, 3]);
      await lab.gets(former.sink, [1, 2]);
      await former.sink.of(1).begin(1);
      await former.ownership.save(Uint8Array.of(1, 2, 3), []);
      assert(!standby.told.has('granted'));

      await end(before, former);
      const ownership = await after.granted(standby.told);
      assert(ownership.epoch > former.ownership.epoch);
      assert.equal(ownership.queue, queue);
      assert.equal(ownership.queueId, former.ownership.queueId);
      assert.deepEqual([...ownership.checkpoint!], [1, 2, 3]);
      assert(ownership.valid());
      assert(!former.ownership.valid());
      const { consumer, sink } = await after.consume(queue, { ownership });
      await lab.gets(sink, [1, 2, 3]);
      assert(sink.of(1).redelivered);

      // Whatever the former owner still says changes nothing.
      former.sink.of(1).ack();
      await assert.rejects(
        former.sink.of(2).reject({ reason: 'rejected', error: 'late', attempts: 1, history: [] }),
      );
      await assert.rejects(former.ownership.save(Uint8Array.of(9), former.sink.deliveries));
      await assert.rejects(former.ownership.bind(['nothing']));
      await assert.rejects(before.session.publish(lab.envelope('a.b', 'late'), former.ownership));
      await assert.rejects(former.ownership.revalidate(), FencedError);
      await after.publish('a.b', 4);
      await lab.gets(sink, [1, 2, 3, 4]);
      assert.deepEqual(former.sink.data, [1, 2]);
      await consumer.close();
      await ownership.release();
      const last = await (await lab.connect('last')).work(queue);
      assert.deepEqual([...last.ownership.checkpoint!], [1, 2, 3]);
      await lab.gets(last.sink, [1, 2, 3, 4]);
    },
  }),
);
