import assert from 'node:assert/strict';
import { casesOf, having, lacking } from './case.js';
import type { Member } from './member.js';
import { ConsumerRecord, numbers } from './records.js';

const byNumber = (a: unknown, b: unknown) => Number(a) - Number(b);

export const sharedCases = casesOf('durable-shared', {
  'gives each message to one consumer': async (lab) => {
    const queue = lab.unique('queue');
    const masters = await Promise.all(['one', 'two', 'three'].map((name) => lab.connect(name)));
    await masters[0]!.share(queue, ['#']);
    const sinks: ConsumerRecord[] = [];
    for (const master of masters) {
      const sink = new ConsumerRecord((delivery) => delivery.ack());
      await master.consume(queue, { prefetch: 5 }, sink);
      sinks.push(sink);
    }
    await masters[1]!.publishAll('a.b', numbers(1, 100));
    const received = () => sinks.flatMap((sink) => sink.data);
    await lab.eventually(() => received().length >= 100, 'all come');
    assert.deepEqual(received().sort(byNumber), numbers(1, 100));
    for (const sink of sinks) assert.deepEqual(sink.data, [...sink.data].sort(byNumber), 'in order');
  },

  'lets every consumer with credit have its part': async (lab) => {
    const queue = lab.unique('queue');
    const masters = await Promise.all(['one', 'two', 'three'].map((name) => lab.connect(name)));
    await masters[0]!.share(queue, ['#']);
    const works = await Promise.all(masters.map((master) => master.consume(queue, { prefetch: 10 })));
    await masters[0]!.publishAll('a.b', numbers(1, 30));
    for (const { sink } of works)
      await lab.eventually(() => sink.deliveries.length === 10, 'each has its ten');
  },

  'goes past a consumer that settles nothing': async (lab) => {
    const [stuck, busy] = [await lab.connect('stuck'), await lab.connect('busy')];
    const queue = lab.unique('queue');
    await stuck.share(queue, ['#']);
    const held = await stuck.consume(queue, { prefetch: 2 });
    await stuck.publishAll('a.b', [1, 2]);
    await lab.gets(held.sink, [1, 2]);
    const sink = new ConsumerRecord((delivery) => delivery.ack());
    await busy.consume(queue, { prefetch: 1 }, sink);
    await busy.publishAll('a.b', numbers(3, 20));
    await lab.gets(sink, numbers(3, 20));
  },

  'gives what a closed consumer had not settled to others, first and in order': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await one.share(queue, ['#']);
    const held = await one.consume(queue, { prefetch: 4 });
    await one.publishAll('a.b', numbers(1, 6));
    await lab.gets(held.sink, [1, 2, 3, 4]);
    held.sink.of(2).ack();
    await lab.gets(held.sink, [1, 2, 3, 4, 5]);
    await held.consumer.close();
    await lab.gets((await other.consume(queue)).sink, [1, 3, 4, 5, 6]);
  },

  'gives what a closed consumer had not settled to one that has nothing to do': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await one.share(queue, ['#']);
    const held = await one.consume(queue);
    await one.publishAll('a.b', numbers(1, 3));
    await lab.gets(held.sink, numbers(1, 3));
    const idle = await other.consume(queue);
    await held.consumer.close();
    await lab.gets(idle.sink, numbers(1, 3));
  },

  'gives what a closed consumer had not settled to one that is busy, before what is newer': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await one.share(queue, ['#']);
    const held = await one.consume(queue, { prefetch: 3 });
    await one.publishAll('a.b', numbers(1, 3));
    await lab.gets(held.sink, numbers(1, 3));
    const waits = await other.consume(queue, { prefetch: 2 });
    await one.publishAll('a.b', numbers(4, 6));
    await lab.gets(waits.sink, [4, 5]);
    await held.consumer.close();
    waits.sink.of(4).ack();
    waits.sink.of(5).ack();
    for (const [at, data] of [1, 2, 3, 6].entries()) {
      await lab.eventually(() => waits.sink.deliveries.length > at + 2, 'the next one comes');
      waits.sink.of(data).ack();
    }
    await lab.gets(waits.sink, [4, 5, 1, 2, 3, 6]);
  },

  'gives what a dead consumer had not settled to others, flagged and counted': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await other.share(queue, ['#']);
    const held = await one.consume(queue, { prefetch: 2 });
    await one.publishAll('a.b', numbers(1, 3));
    await lab.gets(held.sink, [1, 2]);
    await held.sink.of(1).begin(1);
    await one.crash();
    const { sink } = await other.consume(queue);
    // In whatever order: a broker may notice the death of a session later than it is asked for more.
    await lab.eventually(() => sink.deliveries.length >= 3, 'all come');
    assert.deepEqual(
      [1, 2, 3].map((data) => sink.of(data).redelivered),
      [true, true, false],
    );
    assert(sink.of(1).attempt >= 2);
    assert.equal(sink.of(3).attempt, 1);
  },

  'ignores a late ack of what another consumer has': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await one.share(queue, ['#']);
    const first = await one.consume(queue);
    await one.publish('a.b', 1);
    await lab.gets(first.sink, [1]);
    await first.consumer.close();
    const second = await other.consume(queue);
    await lab.gets(second.sink, [1]);
    first.sink.of(1).ack();
    await assert.rejects(
      first.sink.of(1).reject({ reason: 'rejected', error: 'late', attempts: 1, history: [] }),
    );
    await second.consumer.close();
    await lab.gets((await one.consume(queue)).sink, [1]);
  },

  'is consumed without an ownership, and goes on while its keeper changes': async (lab) => {
    const [keeper, next, worker] = [
      await lab.connect('keeper'),
      await lab.connect('next'),
      await lab.connect('worker'),
    ];
    const queue = lab.unique('queue');
    const { ownership } = await keeper.share(queue, ['a.*']);
    const { sink } = await worker.consume(queue);
    const standby = await next.stand(queue);
    await lab.eventually(() => standby.told.has('standby'), 'the other keeper stands by');
    await worker.publish('a.b', 1);
    await keeper.crash();
    const successor = await next.granted(standby.told);
    assert(successor.epoch > ownership.epoch);
    await worker.publish('a.b', 2);
    await successor.bind(['c.*']);
    await worker.publish('a.b', 'unbound');
    await worker.publish('c.d', 3);
    await lab.gets(sink, [1, 2, 3]);
    assert.deepEqual(sink.losses, []);
  },

  'hands back exactly: flagged and counted is only what a handler had begun': having(
    'exactHandBack',
    async (lab) => {
      const [one, other] = [await lab.connect('one'), await lab.connect('other')];
      const queue = lab.unique('queue');
      await one.share(queue, ['#']);
      const delivered = await closeOnFour(one, queue);
      const { sink } = await other.consume(queue);
      await lab.gets(sink, delivered);
      assert.deepEqual(
        sink.deliveries.map(({ redelivered, attempt }) => ({ redelivered, attempt })),
        [
          { redelivered: true, attempt: 2 },
          { redelivered: false, attempt: 1 },
          { redelivered: true, attempt: 1 },
          { redelivered: false, attempt: 1 },
        ],
      );
    },
  ),

  'hands back at least what a handler had begun as flagged': lacking('exactHandBack', async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await one.share(queue, ['#']);
    const delivered = await closeOnFour(one, queue);
    const { sink } = await other.consume(queue);
    await lab.gets(sink, delivered);
    assert(sink.deliveries[0]!.redelivered && sink.deliveries[0]!.attempt >= 2);
    assert(sink.deliveries[2]!.redelivered);
  }),
});

/** A consumer closes with four messages in hand: the first was begun, the third begun and cut off. */
async function closeOnFour(master: Member, queue: string): Promise<number[]> {
  const { consumer, sink } = await master.consume(queue);
  await master.publishAll('a.b', numbers(1, 4));
  await master.lab.gets(sink, numbers(1, 4));
  await sink.of(1).begin(1);
  await sink.of(3).begin(1);
  sink.of(3).cutOff();
  await consumer.close();
  return numbers(1, 4);
}
