import assert from 'node:assert/strict';
import { FencedError, MasterNameTakenError, SessionLostError } from '../../model/errors.js';
import type { Session } from '../../backend.js';
import { casesOf } from './case.js';
import type { Lab } from './lab.js';
import { specOf } from './member.js';
import { ClaimRecord, collect, ConsumerRecord, numbers, TransientRecord } from './records.js';

type Call = (session: Session, lab: Lab, queue: string) => Promise<unknown>;

const calls: Record<Exclude<keyof Session, 'capabilities' | 'closed' | 'close'>, Call> = {
  publish: (session, lab) => session.publish(lab.envelope('a.b')),
  listen: (session) => session.listen(new TransientRecord()),
  declareQueue: (session, _, queue) => session.declareQueue(specOf(queue)),
  findQueue: (session, _, queue) => session.findQueue(queue),
  deleteQueue: (session, _, queue) => session.deleteQueue(queue, { whileInUse: true }),
  queues: (session) => session.queues(),
  claim: (session, _, queue) => session.claim(queue, new ClaimRecord()),
  consume: (session, _, queue) =>
    session.consume(queue, { prefetch: 1, ownership: undefined }, new ConsumerRecord()),
  deadLetters: (session, _, queue) => collect(session.deadLetters(queue)),
  redrive: (session, _, queue) => session.redrive(queue, undefined),
  dropDeadLetters: (session, _, queue) => session.dropDeadLetters(queue, undefined),
};

export const sessionCases = casesOf('session', {
  'says at its end whether it was closed or lost, and every ownership has ended by then': async (lab) => {
    for (const end of ['close', 'crash'] as const) {
      const master = await lab.connect(end);
      const queue = lab.unique('queue');
      await master.declare(queue);
      const { ownership } = await master.own(queue, []);
      const seen = master.session.closed.then((reason) => ({ reason, valid: ownership.valid() }));
      await (end === 'close' ? master.session.close() : master.crash());
      const { reason, valid } = await seen;
      assert.equal(valid, false);
      if (end === 'close') assert.equal(reason, undefined);
      else assert(reason instanceof Error);
      assert.equal(await master.session.closed, reason);
      await assert.rejects(ownership.revalidate(), FencedError);
    }
  },

  'refuses every call after its end': async (lab) => {
    const witness = await lab.connect('witness');
    const queue = lab.unique('queue');
    await witness.declare(queue, { ownership: 'shared' });
    for (const end of ['close', 'crash'] as const) {
      const master = await lab.connect(end);
      await (end === 'close' ? master.session.close() : master.crash());
      for (const [name, call] of Object.entries(calls))
        await assert.rejects(call(master.session, lab, queue), SessionLostError, name);
    }
    assert.equal(await witness.session.findQueue(queue), true);
  },

  'settles whatever its consumers, claims and queues are asked after its end': async (lab) => {
    for (const end of ['close', 'crash'] as const) {
      const master = await lab.connect(end);
      const queue = lab.unique('queue');
      await master.declare(queue);
      const work = await master.work(queue, { patterns: ['#'] });
      const ear = await master.listen(['#']);
      await master.publish('a.b', 1);
      await lab.gets(work.sink, [1]);
      await (end === 'close' ? master.session.close() : master.crash());
      work.sink.of(1).ack();
      work.sink.of(1).cutOff();
      const afterwards: Promise<unknown>[] = [
        Promise.resolve(work.sink.of(1).begin(1)),
        work.consumer.close(),
        work.claim.withdraw(),
        work.ownership.release(),
        ear.queue.unbind('#'),
        ear.queue.close(),
        master.session.close(),
      ];
      await Promise.allSettled(afterwards);
      await assert.rejects(
        work.sink.of(1).reject({ reason: 'rejected', error: '', attempts: 1, history: [] }),
      );
      const next = await lab.connect(`after-${end}`);
      await lab.gets((await next.work(queue)).sink, [1]);
    }
  },

  'gives back, when it has closed, what was delivered and not settled': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queues = [lab.unique('queue'), lab.unique('queue')] as const;
    for (const queue of queues) await before.share(queue, ['#']);
    const works = [await before.consume(queues[0]), await before.consume(queues[0])];
    const other = await before.consume(queues[1]);
    await before.publishAll('a.b', numbers(1, 8));
    await lab.eventually(
      () => works[0]!.sink.deliveries.length + works[1]!.sink.deliveries.length === 8,
      'all are delivered',
    );
    await lab.gets(other.sink, numbers(1, 8));
    other.sink.of(1).ack();
    await before.session.close();
    // At its end the sinks stay silent.
    assert.equal(works[0]!.sink.deliveries.length + works[1]!.sink.deliveries.length, 8);
    await lab.gets((await after.consume(queues[0])).sink, numbers(1, 8));
    await lab.gets((await after.consume(queues[1])).sink, numbers(2, 8));
  },

  'gives an exclusive queue to a standby when it closes with consumer and claim open': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    const work = await before.work(queue, { patterns: ['#'] });
    const { told } = await after.stand(queue);
    await before.publishAll('a.b', numbers(1, 4));
    await lab.gets(work.sink, numbers(1, 4));
    await work.sink.of(2).begin(1);
    work.sink.of(1).ack();
    await before.session.close();
    const ownership = await after.granted(told);
    const { sink } = await after.consume(queue, { ownership });
    await lab.gets(sink, [2, 3, 4]);
    assert(sink.of(2).redelivered && sink.of(2).attempt >= 2);
    assert.deepEqual([work.sink.losses, work.told.has('lost'), work.told.has('fenced')], [[], false, false]);
  },

  'leaves other sessions alone when it ends': async (lab) => {
    const [stays, closes, dies] = [
      await lab.connect('stays'),
      await lab.connect('closes'),
      await lab.connect('dies'),
    ];
    const queue = lab.unique('queue');
    await stays.declare(queue);
    const { ownership, sink } = await stays.work(queue, { patterns: ['#'] });
    const ear = await stays.listen(['#']);
    await closes.session.close();
    await dies.crash();
    await stays.publish('a.b', 1);
    await lab.gets(sink, [1]);
    await lab.gets(ear.sink, [1]);
    assert(ownership.valid());
  },

  'is refused to a name that a living master has': async (lab) => {
    const holder = await lab.connect('build-1');
    await assert.rejects(lab.connect('build-1'), (error) => {
      assert(error instanceof MasterNameTakenError);
      assert.match(error.message, /build-1/);
      return true;
    });
    await holder.publish('a.b', 1);
    await lab.connect('build-10');
  },

  'is granted to a name again after it was closed, and after it has crashed': async (lab) => {
    const first = await lab.connect('build-1');
    await first.session.close();
    const second = await lab.connect('build-1');
    await second.crash();
    let third: typeof second | undefined;
    await lab.eventually(async () => {
      third = await lab.connect('build-1').catch((error: unknown) => {
        assert(error instanceof MasterNameTakenError);
        return undefined;
      });
      return third !== undefined;
    }, 'the name is free');
    await third!.publish('a.b', 1);
  },

  'is granted at once to the incarnation that had the name': async (lab) => {
    const first = await lab.connect('build-1', { incarnation: 'incarnation' });
    // Its connection broke, and the broker may not have noticed.
    const second = await lab.connect('build-1', { incarnation: 'incarnation' });
    assert((await first.session.closed) instanceof Error, 'the earlier session has ended');
    await assert.rejects(first.publish('a.b', 0), SessionLostError);
    await first.crash();
    await second.publish('a.b', 1);
    await assert.rejects(lab.connect('build-1', { incarnation: 'another' }), MasterNameTakenError);
  },

  'knows nothing of other namespaces': async (lab) => {
    const [here, there] = [
      await lab.connect('master'),
      await lab.connect('master', { namespace: `elsewhere-${lab.environment.randomId()}` }),
    ];
    const queue = lab.unique('queue');
    for (const master of [here, there]) await master.declare(queue);
    const owner = await here.work(queue, { patterns: ['#'] });
    const elsewhere = await there.own(queue, ['#']);
    assert.notEqual(owner.ownership.queueId, elsewhere.ownership.queueId);
    const ear = await here.listen(['#']);
    await there.publish('a.b', 'there');
    await here.publish('a.b', 'here');
    await lab.gets(owner.sink, ['here']);
    await lab.gets(ear.sink, ['here']);
    assert.deepEqual(
      (await here.session.queues()).map(({ name }) => name),
      [queue],
    );
  },

  'is not established when the attempt was given up': async (lab) => {
    const abort = new AbortController();
    abort.abort(new Error('given up'));
    await assert.rejects(lab.connect('master', { signal: abort.signal }));
    await lab.connect('master');
  },

  'is not ended by the signal that could have given it up': async (lab) => {
    const abort = new AbortController();
    const master = await lab.connect('master', { signal: abort.signal });
    abort.abort();
    const ear = await master.listen(['#']);
    await master.publish('a.b', 1);
    await lab.gets(ear.sink, [1]);
  },

  'says the same of what the broker can do as every other': async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    assert.deepEqual(one.session.capabilities, other.session.capabilities);
    assert(one.session.capabilities.lingerMs >= 0);
  },

  'is of a backend whose name holds no password': async (lab) => {
    assert.notEqual(lab.backendName, '');
    assert.doesNotMatch(lab.backendName, /\/\/[^/]*:[^/]*@/);
  },
});
