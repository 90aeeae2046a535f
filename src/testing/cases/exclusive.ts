import assert from 'node:assert/strict';
import { QueueInUseError } from '../../model/errors.js';
import { casesOf, having } from './case.js';
import type { Lab } from './lab.js';
import { ConsumerRecord, dataOf, numbers } from './records.js';

export const exclusiveCases = casesOf('durable-exclusive', {
  'gets what was published since its binding, and nothing older': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.publish('a.b', 'before it was declared');
    await master.declare(queue);
    await master.publish('a.b', 'before it was bound');
    const owner = await master.own(queue, ['a.*']);
    await master.publish('a.b', 'after');
    await lab.gets((await master.consume(queue, owner)).sink, ['after']);
  },

  'keeps messages while nobody consumes, and while nobody is connected at all': async (lab) => {
    const [before, publisher] = [await lab.connect('before'), await lab.connect('publisher')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    await before.own(queue, ['#']);
    await before.session.close();
    await publisher.publishAll('a.b', numbers(1, 20));
    await publisher.session.close();
    await lab.gets((await (await lab.connect('after')).work(queue)).sink, numbers(1, 20));
  },

  'delivers at most as many unsettled messages as the prefetch says': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const unsettled = new Set<unknown>();
    let most = 0;
    const sink = new ConsumerRecord((delivery) => {
      unsettled.add(dataOf(delivery));
      most = Math.max(most, unsettled.size);
    });
    await master.work(queue, { patterns: ['#'], prefetch: 3, sink });
    await master.publishAll('a.b', numbers(1, 30));
    for (let acked = 0; acked < 30; acked++) {
      await lab.eventually(() => sink.deliveries.length > acked, 'another one comes');
      unsettled.delete(acked + 1);
      sink.deliveries[acked]!.ack();
    }
    assert.deepEqual(sink.data, numbers(1, 30));
    assert.equal(most, 3);
  },

  'has more in hand when it is allowed more, and fewer when it is allowed fewer': having(
    'growingPrefetch',
    async (lab) => {
      const master = await lab.connect('master');
      const queue = lab.unique('queue');
      await master.declare(queue);
      const { sink, consumer } = await master.work(queue, { patterns: ['#'], prefetch: 2 });
      await master.publishAll('a.b', numbers(1, 9));
      await lab.gets(sink, [1, 2]);
      consumer.allow!(5);
      await lab.gets(sink, [1, 2, 3, 4, 5]);
      consumer.allow!(2);
      for (const number of [1, 2, 3, 4]) sink.of(number).ack();
      await lab.gets(sink, [1, 2, 3, 4, 5, 6]);
      // What more there might be would come before the answer.
      await master.session.findQueue(queue);
      assert.deepEqual(sink.data, [1, 2, 3, 4, 5, 6]);
    },
  ),

  'goes on while messages are acked in whatever order': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const { sink } = await master.work(queue, { patterns: ['#'], prefetch: 4 });
    await master.publishAll('a.b', numbers(1, 12));
    for (const acked of [4, 2, 3, 6, 1, 5, 7, 8]) {
      await lab.eventually(() => sink.data.includes(acked), `message ${acked} comes`);
      sink.of(acked).ack();
    }
    await lab.gets(sink, numbers(1, 12));
  },

  'takes acks from within the delivery': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const owner = await master.own(queue, ['#']);
    await master.publishAll('a.b', numbers(1, 5_000));
    const sink = new ConsumerRecord((delivery) => delivery.ack());
    await master.consume(queue, owner, sink);
    await lab.gets(sink, numbers(1, 5_000));
  },

  'gives back what is not settled when a consumer closes, first and in order': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const work = await master.work(queue, { patterns: ['#'], prefetch: 5 });
    await master.publishAll('a.b', numbers(1, 8));
    await lab.gets(work.sink, numbers(1, 5));
    work.sink.of(2).ack();
    work.sink.of(4).ack();
    await lab.gets(work.sink, numbers(1, 7));
    await work.consumer.close();
    await lab.gets((await master.consume(queue, work)).sink, [1, 3, 5, 6, 7, 8]);
  },

  'has one consumer at a time under one ownership': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const first = await master.work(queue, { patterns: ['#'], prefetch: 1 });
    await assert.rejects(master.consume(queue, first), QueueInUseError);
    await master.publishAll('a.b', [1, 2]);
    await lab.gets(first.sink, [1]);
    await first.consumer.close();
    await lab.gets((await master.consume(queue, first)).sink, [1, 2]);
  },

  'has processed every ack when a consumer has closed': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const work = await before.work(queue, { patterns: ['#'] });
    await before.publishAll('a.b', numbers(1, 50));
    await lab.gets(work.sink, numbers(1, 50));
    for (const delivery of work.sink.deliveries.slice(0, 40)) delivery.ack();
    await work.consumer.close();
    await before.crash();
    await lab.gets((await after.work(queue)).sink, numbers(41, 50));
  },

  'delivers nothing to a consumer that has closed': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const closed = await master.work(queue, { patterns: ['#'] });
    await closed.consumer.close();
    await master.publish('a.b', 1);
    await lab.gets((await master.consume(queue, closed)).sink, [1]);
    assert.deepEqual(closed.sink.data, []);
  },

  'ignores a late ack of what was given back': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const first = await master.work(queue, { patterns: ['#'] });
    await master.publish('a.b', 1);
    await lab.gets(first.sink, [1]);
    await first.consumer.close();
    const second = await master.consume(queue, first);
    await lab.gets(second.sink, [1]);
    first.sink.of(1).ack();
    await second.consumer.close();
    await lab.gets((await master.consume(queue, first)).sink, [1]);
  },

  'delivers what a dead owner had not settled first, in order, flagged': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const dead = await before.work(queue, { patterns: ['#'], prefetch: 3 });
    await before.publishAll('a.b', numbers(1, 6));
    await lab.gets(dead.sink, [1, 2, 3]);
    await dead.sink.of(1).begin(1);
    const pending = after.work(queue);
    await before.crash();
    const { sink } = await pending;
    await after.publish('a.b', 7);
    await lab.gets(sink, numbers(1, 7));
    assert.deepEqual(
      sink.deliveries.map(({ redelivered }) => redelivered),
      [true, true, true, false, false, false, false],
    );
  },

  'flags after a proper hand-over only what a handler had begun': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const work = await before.work(queue, { patterns: ['#'], prefetch: 4 });
    await before.publishAll('a.b', numbers(1, 6));
    await lab.gets(work.sink, [1, 2, 3, 4]);
    for (const begun of [1, 3]) await work.sink.of(begun).begin(1);
    work.sink.of(3).cutOff();
    const pending = after.work(queue);
    await before.handOver(work);
    const { sink } = await pending;
    await lab.gets(sink, numbers(1, 6));
    assert.deepEqual(
      sink.deliveries.map(({ redelivered, attempt }) => ({ redelivered, attempt })),
      [
        { redelivered: true, attempt: 2 },
        { redelivered: false, attempt: 1 },
        // It was cut off: that call does not count.
        { redelivered: true, attempt: 1 },
        ...Array.from({ length: 3 }, () => ({ redelivered: false, attempt: 1 })),
      ],
    );
  },

  'counts the calls that have begun over proper hand-overs': async (lab) => {
    const queue = lab.unique('queue');
    const first = await lab.connect('first');
    await first.declare(queue);
    let work = await first.work(queue, { patterns: ['#'] });
    await first.publish('a.b', 1);
    await lab.gets(work.sink, [1]);
    await work.sink.of(1).begin(1);
    await work.sink.of(1).begin(2);
    await first.handOver(work);
    const second = await lab.connect('second');
    work = await second.work(queue);
    await lab.gets(work.sink, [1]);
    assert.equal(work.sink.of(1).attempt, 3);
    await work.sink.of(1).begin(3);
    work.sink.of(1).cutOff();
    await second.handOver(work);
    work = await (await lab.connect('third')).work(queue);
    await lab.gets(work.sink, [1]);
    assert.equal(work.sink.of(1).attempt, 3);
    assert.equal(work.sink.of(1).redelivered, true);
  },

  'counts the calls that have begun over crashes, and no others': async (lab) => {
    const queue = lab.unique('queue');
    const { attempts, innocent } = await crashOnFirst(lab, queue, 4);
    // The first call need not be noted: until it is redelivered, a message has harmed nobody.
    for (const [crashes, attempt] of attempts.entries())
      assert(attempt >= Math.max(1, crashes) && attempt <= crashes + 1, `attempts ${attempts.join(', ')}`);
    assert.deepEqual(innocent, [1, 1, 1, 1]);
  },
});

/** Each of these masters begins the first message, has the second prefetched, and crashes. */
async function crashOnFirst(lab: Lab, queue: string, masters: number) {
  const publisher = await lab.connect('publisher');
  await publisher.declare(queue);
  const attempts: number[] = [];
  const innocent: number[] = [];
  for (let number = 0; number < masters; number++) {
    const master = await lab.connect(lab.unique('victim'));
    const { sink } = await master.work(queue, { patterns: ['#'] });
    if (number === 0) await publisher.publishAll('a.b', ['kills', 'innocent']);
    await lab.gets(sink, ['kills', 'innocent']);
    attempts.push(sink.of('kills').attempt);
    innocent.push(sink.of('innocent').attempt);
    await sink.of('kills').begin(sink.of('kills').attempt);
    await master.crash();
  }
  return { attempts, innocent };
}
