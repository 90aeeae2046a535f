import assert from 'node:assert/strict';
import type { LetterDetails } from '../../backend.js';
import { casesOf } from './case.js';
import type { Lab } from './lab.js';
import type { Member, Owner, Work } from './member.js';
import { collect, dataOf, numbers } from './records.js';

const details: LetterDetails = { reason: 'rejected', error: 'the handler said no', attempts: 3, history: [] };

export const deadLetterCases = casesOf('dead-letters', {
  'hold a rejected message, with reason, error, attempts and time': async (lab) => {
    const { master, queue, work } = await busy(lab, ['dead', 'alive']);
    const began = lab.environment.clock.wall();
    const letters: LetterDetails[] = [
      { reason: 'attempts', error: '', attempts: 10, history: [] },
      { reason: 'rejected', error: 'grüße 🚦\n  at line 2', attempts: 1, history: [] },
      { reason: 'undecodable', error: 'x'.repeat(2_000), attempts: 0, history: [] },
      { reason: 'invalid', error: 'no', attempts: 1, history: [] },
      { reason: 'refused', error: 'no', attempts: 1, history: [] },
    ];
    await master.publishAll('a.c', numbers(1, 5));
    await lab.gets(work.sink, ['dead', 'alive', ...numbers(1, 5)]);
    for (const [at, letter] of letters.entries()) await work.sink.of(at + 1).reject(letter);
    const found = await collect(master.session.deadLetters(queue));
    assert.deepEqual(found.map(dataOf), numbers(1, 5));
    for (const [at, letter] of letters.entries()) {
      const { reason, error, attempts, history } = found[at]!;
      assert.deepEqual({ reason, error, attempts, history }, letter);
      assert.equal(found[at]!.envelope.id, work.sink.of(at + 1).envelope.id);
      assert.equal(found[at]!.envelope.topic, 'a.c');
      // Unix time of the broker, which may be another machine.
      assert(Math.abs(found[at]!.at - began) < 600_000);
    }
  },

  'keep the history of failed attempts': async (lab) => {
    const { master, queue, work } = await busy(lab, [1]);
    const history = [
      { attempt: 1, at: 1_767_225_600_000, error: '' },
      { attempt: 3, at: 1_767_225_601_500, error: `grüße 🚦\n${'x'.repeat(900)}` },
    ];
    await work.sink.of(1).reject({ ...details, history });
    await master.crash();
    const next = await lab.connect('next');
    const [letter] = await collect(next.session.deadLetters(queue));
    assert.deepEqual(letter!.history, history);
  },

  'take a message out of its queue': async (lab) => {
    const { master, work } = await busy(lab, [1, 2, 3]);
    await work.sink.of(2).reject(details);
    await master.handOver(work);
    await lab.gets((await master.work(work.ownership.queue)).sink, [1, 3]);
  },

  'are of their queue alone': async (lab) => {
    const { master, queue, work } = await busy(lab, [1]);
    const other = lab.unique('other');
    await master.declare(other);
    await work.sink.of(1).reject(details);
    assert.deepEqual(await collect(master.session.deadLetters(other)), []);
    assert.equal((await collect(master.session.deadLetters(queue))).length, 1);
  },

  'come oldest first, and only those that were there at the start': async (lab) => {
    const { master, queue, work } = await busy(lab, [1, 2, 3, 4]);
    for (const dead of [2, 1, 3]) await work.sink.of(dead).reject(details);
    const found: unknown[] = [];
    for await (const letter of master.session.deadLetters(queue)) {
      found.push(dataOf(letter));
      if (found.length === 1) await work.sink.of(4).reject(details);
    }
    assert.deepEqual(found, [2, 1, 3]);
    assert.equal((await collect(master.session.deadLetters(queue))).length, 4);
  },

  'stay when they are read, and when the owner changes': async (lab) => {
    const { master, queue, work } = await busy(lab, [1]);
    await work.sink.of(1).reject(details);
    const [first] = await collect(master.session.deadLetters(queue));
    await master.crash();
    const next = await lab.connect('next');
    await next.own(queue);
    const [second] = await collect(next.session.deadLetters(queue));
    assert.equal(second?.id, first?.id);
    assert.equal(second?.at, first?.at);
  },

  'refuse what is no longer held, which comes again': async (lab) => {
    const { master, queue, work } = await busy(lab, [1]);
    await master.handOver(work);
    await assert.rejects(work.sink.of(1).reject(details));
    assert.deepEqual(await collect(master.session.deadLetters(queue)), []);
    await lab.gets((await master.work(queue)).sink, [1]);
  },

  'are redriven to the tail of their own queue: same id, attempt 1, flagged': async (lab) => {
    const { master, queue, work } = await busy(lab, ['dead', 'alive']);
    const other = lab.unique('other');
    await master.share(other, ['#']);
    await work.sink.of('dead').begin(1);
    await work.sink.of('dead').reject(details);
    await work.consumer.close();
    await master.publish('a.b', 'new');
    assert.equal(await master.session.redrive(queue, undefined), 1);
    await master.publish('a.b', 'newer');
    const { sink } = await master.consume(queue, work);
    await lab.gets(sink, ['alive', 'new', 'dead', 'newer']);
    const [before, again] = [work.sink.of('dead'), sink.of('dead')];
    assert.equal(again.envelope.id, before.envelope.id);
    assert.equal(again.envelope.time, before.envelope.time);
    assert.deepEqual(
      [before, again].map(({ attempt, redelivered, redrives }) => ({ attempt, redelivered, redrives })),
      [
        { attempt: 1, redelivered: false, redrives: 0 },
        { attempt: 1, redelivered: true, redrives: 1 },
      ],
    );
    assert.deepEqual(await collect(master.session.deadLetters(queue)), []);
    await lab.gets((await master.consume(other)).sink, ['new', 'newer']);
  },

  'have a name that stays, and another after each redrive': async (lab) => {
    const { master, queue, work } = await busy(lab, [1]);
    const names = new Set<string>();
    for (let redrives = 0; redrives < 3; redrives++) {
      await lab.eventually(() => work.sink.deliveries.length > redrives, 'it comes again');
      const delivery = work.sink.deliveries[redrives]!;
      assert.equal(delivery.redrives, redrives);
      await delivery.reject(details);
      const [letter] = await collect(master.session.deadLetters(queue));
      const [same] = await collect(master.session.deadLetters(queue));
      assert.equal(same!.id, letter!.id);
      names.add(letter!.id);
      assert.equal(await master.session.redrive(queue, [letter!.id]), 1);
    }
    assert.equal(names.size, 3);
  },

  'are redriven by name, those that are there': async (lab) => {
    const { master, queue, work } = await busy(lab, numbers(1, 4));
    for (const dead of numbers(1, 4)) await work.sink.of(dead).reject(details);
    const letters = await collect(master.session.deadLetters(queue));
    const ids = [letters[1]!.id, letters[3]!.id, 'no such letter', '__proto__'];
    assert.equal(await master.session.redrive(queue, ids), 2);
    assert.equal(await master.session.redrive(queue, ids), 0);
    await lab.gets(work.sink, [...numbers(1, 4), 2, 4]);
    assert.deepEqual((await collect(master.session.deadLetters(queue))).map(dataOf), [1, 3]);
    assert.equal(await master.session.redrive(queue, []), 0);
  },

  'can be redriven one by one while they are read': async (lab) => {
    const { master, queue, work } = await busy(lab, [1, 2, 3]);
    for (const dead of [1, 2, 3]) await work.sink.of(dead).reject(details);
    for await (const letter of master.session.deadLetters(queue))
      if (dataOf(letter) !== 2) assert.equal(await master.session.redrive(queue, [letter.id]), 1);
    await lab.gets(work.sink, [1, 2, 3, 1, 3]);
    assert.deepEqual((await collect(master.session.deadLetters(queue))).map(dataOf), [2]);
  },

  'are redriven without the fence under which they were published': async (lab) => {
    const { master, queue, work } = await busy(lab, []);
    await master.session.publish(lab.envelope('a.b', 1), work.ownership);
    await lab.gets(work.sink, [1]);
    await work.sink.of(1).reject(details);
    await master.session.redrive(queue, undefined);
    await lab.gets(work.sink, [1, 1]);
    assert.equal(work.sink.deliveries[1]!.envelope.fence, undefined);
  },

  'are dropped, all of them or by name': async (lab) => {
    const { master, queue, work } = await busy(lab, numbers(1, 4));
    for (const dead of numbers(1, 4)) await work.sink.of(dead).reject(details);
    const [first] = await collect(master.session.deadLetters(queue));
    assert.equal(await master.session.dropDeadLetters(queue, [first!.id, 'no such letter']), 1);
    assert.deepEqual((await collect(master.session.deadLetters(queue))).map(dataOf), [2, 3, 4]);
    assert.equal(await master.session.dropDeadLetters(queue, undefined), 3);
    assert.equal(await master.session.redrive(queue, undefined), 0);
    assert.deepEqual(await collect(master.session.deadLetters(queue)), []);
  },

  'go with their queue': async (lab) => {
    const { master, queue, work } = await busy(lab, [1]);
    await work.sink.of(1).reject(details);
    await master.session.deleteQueue(queue, { whileInUse: true });
    await master.declare(queue);
    assert.deepEqual(await collect(master.session.deadLetters(queue)), []);
  },
});

/** A queue whose owner has these messages in hand. */
async function busy(
  lab: Lab,
  data: readonly unknown[],
): Promise<{ master: Member; queue: string; work: Owner & Work }> {
  const master = await lab.connect('master');
  const queue = lab.unique('queue');
  await master.declare(queue);
  const work = await master.work(queue, { patterns: ['#'] });
  await master.publishAll('a.b', data);
  await lab.gets(work.sink, data);
  return { master, queue, work };
}
