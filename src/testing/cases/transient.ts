import assert from 'node:assert/strict';
import { casesOf } from './case.js';
import { numbers, TransientRecord } from './records.js';

export const transientCases = casesOf('transient', {
  'receives what any master publishes once a binding is in place': async (lab) => {
    const [listener, publisher] = [await lab.connect('listener'), await lab.connect('publisher')];
    const ear = await listener.listen([]);
    for (let round = 1; round <= 20; round++) {
      await ear.queue.bind(`round.${round}`);
      await publisher.publish(`round.${round}`, round);
    }
    await lab.gets(ear.sink, numbers(1, 20));
  },

  'receives what its own session publishes': async (lab) => {
    const master = await lab.connect('master');
    const ear = await master.listen(['a.#']);
    await master.publish('a.b', 1);
    await lab.gets(ear.sink, [1]);
  },

  'receives a message once, however many bindings match': async (lab) => {
    const master = await lab.connect('master');
    const ear = await master.listen(['#', 'a.#', 'a.*', '*.b', 'a.b', '#.b', 'a.#.b', '*.*']);
    await master.publish('a.b', 'once');
    await master.publish('end', 'end');
    await lab.gets(ear.sink, ['once', 'end']);
  },

  "receives messages in each producer's order": async (lab) => {
    const [one, other] = [await lab.connect('one'), await lab.connect('other')];
    const { sink } = await (await lab.connect('listener')).listen(['#']);
    const texts = (prefix: string) => numbers(1, 100).map((number) => `${prefix}${number}`);
    await Promise.all([one.publishAll('a.b', texts('one ')), other.publishAll('c.d', texts('other '))]);
    await lab.eventually(() => sink.envelopes.length >= 200, 'all come');
    const from = (prefix: string) => sink.data.filter((text) => String(text).startsWith(prefix));
    assert.deepEqual(from('one '), texts('one '));
    assert.deepEqual(from('other '), texts('other '));
  },

  'takes a pattern bound twice for bound once': async (lab) => {
    const master = await lab.connect('master');
    const ear = await master.listen(['a', 'a', 'end']);
    await master.publish('a', 1);
    await ear.queue.unbind('a');
    await master.publish('a', 2);
    await master.publish('end', 'end');
    await lab.gets(ear.sink, [1, 'end']);
  },

  'receives nothing more of a pattern that was unbound': async (lab) => {
    const [listener, publisher] = [await lab.connect('listener'), await lab.connect('publisher')];
    const ear = await listener.listen(['a.*', 'b.*', 'end']);
    await ear.queue.unbind('a.*');
    await publisher.publish('a.b', 1);
    await publisher.publish('b.a', 2);
    await publisher.publish('end', 'end');
    await lab.gets(ear.sink, [2, 'end']);
  },

  'receives what another of its patterns still matches': async (lab) => {
    const master = await lab.connect('master');
    const ear = await master.listen(['a.*', '*.b']);
    await ear.queue.unbind('a.*');
    await master.publish('a.b', 1);
    await ear.queue.bind('a.*');
    await ear.queue.unbind('*.b');
    await master.publish('a.b', 2);
    await lab.gets(ear.sink, [1, 2]);
  },

  'misses nothing while other patterns come and go': async (lab) => {
    const [listener, publisher] = [await lab.connect('listener'), await lab.connect('publisher')];
    const ear = await listener.listen(['a.#']);
    const published = publisher.publishAll('a.b', numbers(1, 200));
    for (let round = 1; round <= 10; round++) {
      await ear.queue.bind('*.b');
      await ear.queue.unbind('*.b');
    }
    await published;
    await publisher.publish('a.b', 'end');
    await lab.gets(ear.sink, [...numbers(1, 200), 'end']);
  },

  'keeps the queues of one session apart, also those with the same sink': async (lab) => {
    const master = await lab.connect('master');
    const sink = new TransientRecord();
    const [one, other] = [await master.listen(['a'], sink), await master.listen(['a', 'end'], sink)];
    await master.publish('a', 1);
    await lab.gets(sink, [1, 1]);
    await one.queue.close();
    await master.publish('a', 2);
    await master.publish('end', 'end');
    await lab.gets(sink, [1, 1, 2, 'end']);
    await other.queue.close();
  },

  'receives nothing once it is closed': async (lab) => {
    const master = await lab.connect('master');
    const [closed, open] = [await master.listen(['#']), await master.listen(['#'])];
    await master.publish('a', 1);
    await lab.gets(closed.sink, [1]);
    await closed.queue.close();
    await master.publish('a', 2);
    await lab.gets(open.sink, [1, 2]);
    assert.deepEqual(closed.sink.data, [1]);
  },

  'dies with its session, and so do its bindings': async (lab) => {
    const publisher = await lab.connect('publisher');
    for (const end of ['close', 'crash'] as const) {
      const before = await lab.connect(end);
      const dead = await before.listen(['#']);
      await (end === 'close' ? before.session.close() : before.crash());
      await publisher.publish('a', 'missed');
      let again: typeof before | undefined;
      await lab.eventually(async () => {
        again = await lab.connect(end).catch(() => undefined);
        return again !== undefined;
      }, 'the name is free again');
      const ear = await again!.listen(['end']);
      await publisher.publish('a', 'unbound');
      await publisher.publish('end', 'end');
      await lab.gets(ear.sink, ['end']);
      assert.deepEqual(dead.sink.data, []);
    }
  },

  'leaves the queues of a later session alone after its own has ended': async (lab) => {
    const [before, publisher] = [await lab.connect('before'), await lab.connect('publisher')];
    const sink = new TransientRecord();
    const old = await before.listen(['a', 'b'], sink);
    await before.session.close();
    const after = await lab.connect('after');
    await after.listen(['a', 'b'], sink);
    // Whoever cleans up late, or twice, does no harm.
    await old.queue.unbind('a').catch(() => {});
    await old.queue.close().catch(() => {});
    await publisher.publish('a', 1);
    await publisher.publish('b', 2);
    await lab.gets(sink, [1, 2]);
  },

  'binds nothing after its session has ended': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const old = await before.listen([]);
    await before.session.close();
    await assert.rejects(old.queue.bind('#'));
    const ear = await after.listen(['#']);
    await after.publish('a', 1);
    await lab.gets(ear.sink, [1]);
    assert.deepEqual(old.sink.data, []);
  },
});
