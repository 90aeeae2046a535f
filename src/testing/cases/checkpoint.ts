import assert from 'node:assert/strict';
import { FencedError } from '../../model/errors.js';
import { casesOf } from './case.js';
import { numbers } from './records.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (checkpoint: Uint8Array | undefined) => checkpoint && new TextDecoder().decode(checkpoint);

export const checkpointCases = casesOf('checkpoint', {
  'is undefined in a fresh queue': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    assert.equal((await master.own(queue)).ownership.checkpoint, undefined);
  },

  'is what the last save kept, after a release and after a crash': async (lab) => {
    const queue = lab.unique('queue');
    const first = await lab.connect('first');
    await first.declare(queue);
    const { ownership } = await first.own(queue, []);
    for (const save of ['one', 'two', 'three']) await ownership.save(bytes(save), []);
    await ownership.release();
    const second = await lab.connect('second');
    const next = await second.own(queue);
    assert.equal(text(next.ownership.checkpoint), 'three');
    await next.ownership.save(bytes('four'), []);
    await second.crash();
    assert.equal(text((await (await lab.connect('third')).own(queue)).ownership.checkpoint), 'four');
  },

  'outlives owners that save nothing, and all sessions': async (lab) => {
    const queue = lab.unique('queue');
    const first = await lab.connect('first');
    await first.declare(queue);
    await (await first.own(queue, [])).ownership.save(bytes('kept'), []);
    await first.session.close();
    const second = await lab.connect('second');
    await second.own(queue);
    await second.crash();
    assert.equal(text((await (await lab.connect('third')).own(queue)).ownership.checkpoint), 'kept');
  },

  'is of its queue alone, and goes with it': async (lab) => {
    const master = await lab.connect('master');
    const queues = [lab.unique('queue'), lab.unique('queue')] as const;
    for (const queue of queues) await master.declare(queue);
    const owners = [await master.own(queues[0], []), await master.own(queues[1], [])] as const;
    await owners[0].ownership.save(bytes('zero'), []);
    await owners[1].ownership.save(bytes('one'), []);
    for (const { ownership } of owners) await ownership.release();
    await master.session.deleteQueue(queues[0], { whileInUse: false });
    await master.declare(queues[0]);
    assert.equal((await master.own(queues[0])).ownership.checkpoint, undefined);
    assert.equal(text((await master.own(queues[1])).ownership.checkpoint), 'one');
  },

  'keeps the order of saves that nobody waits for': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const { ownership } = await before.own(queue, []);
    await Promise.all(numbers(1, 40).map((number) => ownership.save(bytes(String(number)), [])));
    await before.crash();
    assert.equal(text((await after.own(queue)).ownership.checkpoint), '40');
  },

  'holds any bytes, also many, also none': async (lab) => {
    const everyByte = Uint8Array.from({ length: 300_000 }, (_, index) => index & 0xff);
    const slice = everyByte.subarray(100, 200);
    for (const checkpoint of [everyByte, slice, Buffer.from('a buffer'), new Uint8Array(0)]) {
      const [before, after] = [
        await lab.connect(lab.unique('before')),
        await lab.connect(lab.unique('after')),
      ];
      const queue = lab.unique('queue');
      await before.declare(queue);
      await (await before.own(queue, [])).ownership.save(checkpoint, []);
      await before.crash();
      const found = (await after.own(queue)).ownership.checkpoint;
      assert(found instanceof Uint8Array);
      assert(Buffer.from(found).equals(checkpoint));
    }
  },

  'is saved together with acks: a successor finds both': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const { ownership, consumer, sink } = await before.work(queue, { patterns: ['#'] });
    await before.publishAll('a.b', numbers(1, 5));
    await lab.gets(sink, numbers(1, 5));
    await ownership.save(bytes('1, 2 and 4'), [sink.of(1), sink.of(2), sink.of(4)]);
    await consumer.close();
    await before.crash();
    const found = await after.work(queue);
    assert.equal(text(found.ownership.checkpoint), '1, 2 and 4');
    await lab.gets(found.sink, [3, 5]);
  },

  'is never older than the acks: whatever it does not cover comes again': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const { ownership, sink } = await before.work(queue, { patterns: ['#'] });
    await before.publishAll('a.b', numbers(1, 60));
    await lab.gets(sink, numbers(1, 60));
    let proven = 0;
    const saves = sink.deliveries.map((delivery, at) =>
      ownership.save(bytes(String(at + 1)), [delivery]).then(
        () => (proven = at + 1),
        () => {},
      ),
    );
    await lab.eventually(() => proven >= 20, 'some saves are proven');
    await before.crash();
    await Promise.all(saves);

    const found = await after.work(queue);
    const covered = Number(text(found.ownership.checkpoint));
    assert(covered >= proven, `${proven} were proven, the checkpoint says ${covered}`);
    await after.publish('a.b', 'end');
    await lab.eventually(() => found.sink.data.includes('end'), 'the last message comes');
    const again = found.sink.deliveries.filter(({ redelivered }) => redelivered);
    const uncovered = found.sink.data.filter((data) => Number(data) > covered);
    assert.deepEqual(uncovered, numbers(covered + 1, 60));
    assert.equal(again.length, found.sink.deliveries.length - 1, 'all but the last are flagged');
  },

  'of a former owner is refused, and what it settles with it': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const former = await before.work(queue, { patterns: ['#'] });
    await former.ownership.save(bytes('valid'), []);
    await before.publish('a.b', 1);
    await lab.gets(former.sink, [1]);
    await before.handOver(former);
    await assert.rejects(former.ownership.save(bytes('late'), [former.sink.of(1)]), FencedError);
    const found = await after.work(queue);
    assert.equal(text(found.ownership.checkpoint), 'valid');
    await lab.gets(found.sink, [1]);
  },
});
