import assert from 'node:assert/strict';
import { FencedError, SessionLostError } from '../../model/errors.js';
import { casesOf } from './case.js';
import { numbers } from './records.js';

export const publishCases = casesOf('publish', {
  'has a message in every durable queue that matches once it is confirmed': async (lab) => {
    const [publisher, reader] = [await lab.connect('publisher'), await lab.connect('reader')];
    const queues = [lab.unique('one'), lab.unique('two'), lab.unique('three')];
    for (const queue of queues) await reader.share(queue, ['builds.#']);
    await publisher.publish('builds.17.started', 'kept');
    await publisher.crash();
    for (const queue of queues) await lab.gets((await reader.consume(queue)).sink, ['kept']);
  },

  'drops a message that matches nothing, and resolves': async (lab) => {
    const master = await lab.connect('master');
    await master.publish('nobody.wants.this', 1);
    const ear = await master.listen(['#']);
    await master.publish('heard', 2);
    await lab.gets(ear.sink, [2]);
  },

  'takes messages in the order of the calls, though nobody waits between them': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.share(queue, ['#']);
    const ear = await master.listen(['#']);
    await master.publishAll('some.topic', numbers(1, 300));
    await lab.gets((await master.consume(queue, { prefetch: 300 })).sink, numbers(1, 300));
    await lab.gets(ear.sink, numbers(1, 300));
  },

  'keeps one order in a queue for messages of several masters': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const queue = lab.unique('queue');
    await one.share(queue, ['#']);
    for (let number = 1; number <= 30; number += 2) {
      await one.publish('some.topic', number);
      await other.publish('some.topic', number + 1);
    }
    await lab.gets((await one.consume(queue)).sink, numbers(1, 30));
  },

  'puts a message into a queue once, however many bindings match': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.share(queue, ['#', 'a.#', 'a.*', '*.b', 'a.b', '#.b', 'a.#.b', '*.*']);
    const work = await master.consume(queue);
    await master.publish('a.b', 'once');
    await master.publish('end', 'end');
    await lab.gets(work.sink, ['once', 'end']);
  },

  'gives each queue a message of its own: what one does with it is nothing to another': async (lab) => {
    const master = await lab.connect('master');
    const queues = [lab.unique('acks'), lab.unique('rejects'), lab.unique('holds')] as const;
    for (const queue of queues) await master.share(queue, ['#']);
    await master.publish('a.b', 1);
    const [acks, rejects, holds] = [
      await master.consume(queues[0]),
      await master.consume(queues[1]),
      await master.consume(queues[2]),
    ];
    for (const { sink } of [acks, rejects, holds]) await lab.gets(sink, [1]);
    acks.sink.of(1).ack();
    await rejects.sink.of(1).reject({ reason: 'rejected', error: 'no', attempts: 1, history: [] });
    for (const { consumer } of [acks, rejects, holds]) await consumer.close();
    await master.publish('a.b', 2);
    await lab.gets((await master.consume(queues[0])).sink, [2]);
    await lab.gets((await master.consume(queues[1])).sink, [2]);
    await lab.gets((await master.consume(queues[2])).sink, [1, 2]);
  },

  'takes a publish under an ownership, and tells receivers of it where it is they who refuse': async (
    lab,
  ) => {
    const master = await lab.connect('master');
    const [owned, queue] = [lab.unique('owned'), lab.unique('queue')];
    await master.declare(owned);
    const { ownership } = await master.own(owned, []);
    await master.share(queue, ['#']);
    const ear = await master.listen(['#']);
    await master.session.publish(lab.envelope('a.b', 'fenced'), ownership);
    await master.publish('a.b', 'free');
    const first = await master.consume(queue);
    for (const { sink } of [first, ear]) await lab.gets(sink, ['fenced', 'free']);
    const { epoch } = ownership;
    const fence = lab.capabilities.fencing === 'receiver' ? { queue: owned, epoch } : undefined;
    const envelopes = first.sink.deliveries.map(({ envelope }) => envelope);
    for (const received of [envelopes, ear.sink.envelopes])
      assert.deepEqual(
        received.map((envelope) => envelope.fence),
        [fence, undefined],
      );
    await first.consumer.close();
    const { sink } = await master.consume(queue);
    await lab.gets(sink, ['fenced', 'free']);
    assert.equal(sink.of('fenced').envelope.fence, undefined, 'only the first delivery tells');
  },

  'ignores a fence that the message itself claims': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.share(queue, ['#']);
    const ear = await master.listen(['#']);
    await master.publish('a.b', 'forged', { fence: { queue, epoch: 7 } });
    const { sink } = await master.consume(queue);
    await lab.gets(sink, ['forged']);
    await lab.gets(ear.sink, ['forged']);
    for (const envelope of [sink.of('forged').envelope, ear.sink.envelopes[0]!])
      assert.equal(envelope.fence, undefined);
  },

  'refuses a publish under an ownership that has ended, and takes nothing': async (lab) => {
    const master = await lab.connect('master');
    const [owned, queue] = [lab.unique('owned'), lab.unique('queue')];
    await master.declare(owned);
    const former = (await master.own(owned, [])).ownership;
    await former.release();
    await master.own(owned);
    await master.share(queue, ['#']);
    await assert.rejects(master.session.publish(lab.envelope('a.b', 'fenced'), former), FencedError);
    await master.publish('a.b', 'free');
    await lab.gets((await master.consume(queue)).sink, ['free']);
  },

  'settles every publish when the session ends, and has what it confirmed': async (lab) => {
    for (const end of ['close', 'crash'] as const) {
      const [publisher, reader] = [
        await lab.connect(lab.unique('publisher')),
        await lab.connect(lab.unique('reader')),
      ];
      const queue = lab.unique('queue');
      await reader.share(queue, [`${end}.#`]);
      const publishes = numbers(1, 100).map((number) => publisher.publish(`${end}.topic`, number));
      const outcomes = Promise.allSettled(publishes);
      await (end === 'close' ? publisher.session.close() : publisher.crash());
      const confirmed: number[] = [];
      for (const [at, outcome] of (await outcomes).entries())
        if (outcome.status === 'fulfilled') confirmed.push(at + 1);
        else assert(outcome.reason instanceof SessionLostError, 'nobody knows what became of it');
      await reader.publish(`${end}.topic`, 'end');
      const { sink } = await reader.consume(queue, { prefetch: 200 });
      await lab.eventually(() => sink.data.includes('end'), 'the last message comes');
      const lost = confirmed.filter((number) => !sink.data.includes(number));
      assert.deepEqual(lost, []);
    }
  },
});
