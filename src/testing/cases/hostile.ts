import assert from 'node:assert/strict';
import { casesOf } from './case.js';
import { collect, numbers } from './records.js';

/** All are names as `checkName` allows them. */
const names = [
  '__proto__',
  'constructor',
  'toString',
  '.',
  '..',
  '...hidden',
  '-rf',
  '_',
  '0',
  'null',
  'a.b.c',
  'A.b.c',
  'a-b-c',
  'a_b_c',
  'amq.direct',
  'x'.repeat(128),
];

export const hostileCases = casesOf('hostile', {
  'keeps queues of odd names apart': async (lab) => {
    const master = await lab.connect('master');
    const ids = new Set<string>();
    for (const name of names) {
      await master.declare(name);
      const owner = await master.own(name, ['#']);
      ids.add(owner.ownership.queueId);
      await owner.ownership.save(new TextEncoder().encode(name), []);
      await owner.ownership.bind([`for.${names.indexOf(name)}`]);
    }
    assert.equal(ids.size, names.length);
    for (const [at, name] of names.entries()) await master.publish(`for.${at}`, name);
    await master.session.close();
    const next = await lab.connect('next');
    assert.deepEqual((await next.session.queues()).map(({ name }) => name).sort(), [...names].sort());
    for (const name of names) {
      const { ownership, sink } = await next.work(name);
      assert.equal(new TextDecoder().decode(ownership.checkpoint), name);
      await lab.gets(sink, [name]);
      await sink.of(name).reject({ reason: 'rejected', error: name, attempts: 1, history: [] });
      const letters = await collect(next.session.deadLetters(name));
      assert.deepEqual(
        letters.map(({ error }) => error),
        [name],
      );
      assert.equal(await next.session.redrive(name, [letters[0]!.id]), 1);
    }
  },

  'keeps masters of odd names apart': async (lab) => {
    const queue = lab.unique('queue');
    const masters = await Promise.all(names.map((name) => lab.connect(name)));
    await masters[0]!.declare(queue);
    await masters[0]!.own(queue, []);
    const stands = await Promise.all(masters.slice(1).map((master) => master.stand(queue)));
    for (const { told } of stands) await lab.eventually(() => told.has('standby'), 'each stands by');
    const status = (await masters[0]!.status(queue))!;
    assert.equal(status.owner, names[0]);
    assert.deepEqual([...status.standbys].sort(), names.slice(1).sort());
  },

  'carries headers whatever they are called': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.share(queue, ['#']);
    const headers = Object.fromEntries([
      ['__proto__', 'own'],
      ['constructor', 'own'],
      ['hasOwnProperty', 'own'],
      ['Content-Type', 'text/plain'],
      ['x-death', 'none'],
      ['x-delivery-count', '7'],
      ['x-match', 'any'],
      ['Nats-Msg-Id', 'forged'],
      ['Nats-Expected-Last-Sequence', '1'],
      ['signalboxresent', 'true'],
      ['id', 'forged'],
      ['!#$%&\'*+-.^_`|~"()<>,;=[]{}/?@\\', 'x'],
      ['long', 'x'.repeat(10_000)],
    ]);
    const ear = await master.listen(['#']);
    await master.publish('a.b', 1, { headers });
    await master.publish('a.b', 2);
    const { sink } = await master.consume(queue);
    await lab.gets(sink, [1, 2]);
    await lab.gets(ear.sink, [1, 2]);
    for (const { id, headers: received, resent } of [sink.of(1).envelope, ear.sink.envelopes[0]!]) {
      assert.deepEqual(Object.entries(received).sort(), Object.entries(headers).sort());
      assert.equal(resent, false);
      assert.notEqual(id, 'forged');
    }
  },

  'names a letter apart whatever its message is called': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const { sink } = await master.work(queue, { patterns: ['#'] });
    const ids = ['__proto__', 'a', 'a/0', 'a/0/0', 'ü 🚦', '../..', 'x'.repeat(200)];
    for (const id of ids) await master.publish('a.b', id, { id, origin: undefined });
    await lab.gets(sink, ids);
    for (const delivery of sink.deliveries)
      await delivery.reject({ reason: 'rejected', error: delivery.envelope.id, attempts: 1, history: [] });
    const letters = await collect(master.session.deadLetters(queue));
    assert.equal(new Set(letters.map(({ id }) => id)).size, ids.length);
    for (const { id, error } of letters) {
      assert.equal(await master.session.redrive(queue, [id]), 1);
      await lab.eventually(() => sink.data.filter((data) => data === error).length === 2, 'it comes again');
    }
  },

  'binds a thousand patterns': async (lab) => {
    const [listener, publisher] = [await lab.connect('listener'), await lab.connect('publisher')];
    const queue = lab.unique('queue');
    await listener.declare(queue);
    const patterns = numbers(1, 1_000).map((number) => `builds.${number}.*`);
    const owner = await listener.own(queue, patterns);
    const ear = await listener.listen([]);
    await Promise.all(patterns.map((pattern) => ear.queue.bind(pattern)));
    const published = [1, 500, 777, 1_000];
    for (const number of published) await publisher.publish(`builds.${number}.started`, number);
    await owner.ownership.bind(patterns.slice(0, 10));
    await Promise.all(patterns.slice(10).map((pattern) => ear.queue.unbind(pattern)));
    for (const number of [500, 5]) await publisher.publish(`builds.${number}.finished`, -number);
    await lab.gets(ear.sink, [...published, -5]);
    await lab.gets((await listener.consume(queue, owner)).sink, [...published, -5]);
  },

  'takes many small messages at once': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.share(queue, ['#']);
    const ear = await master.listen(['#']);
    await master.publishAll('a.b', numbers(1, 3_000));
    const { sink } = await master.consume(queue, { prefetch: 3_000 });
    await lab.gets(sink, numbers(1, 3_000));
    await lab.gets(ear.sink, numbers(1, 3_000));
    for (const delivery of sink.deliveries) delivery.ack();
  },
});
