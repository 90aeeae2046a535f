import assert from 'node:assert/strict';
import { describe, it } from 'vitest';
import { PackedEnvelope } from '../../src/backends/file/packed-envelope.js';
import { eventually } from '../eventually.js';
import { messageOf, newFolder, openLab } from './store-lab.js';

const numbers = (count: number) => Array.from({ length: count }, (_, number) => `m-${number}`);

describe('the store', () => {
  it('brings everything back in order, unflagged after a clean end', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    before.declare('q');
    before.publish(...numbers(300));
    await before.safe();
    await before.store.close();
    const after = await openLab(folder);
    assert.deepEqual(after.held('q'), numbers(300));
    after.publish('later');
    assert.deepEqual(after.held('q'), [...numbers(300)]);
    await after.safe();
    assert.deepEqual(after.held('q'), [...numbers(300), 'later']);
  });

  it('brings back a message as it was', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    before.declare('q');
    const topics = ['a', `${'ä'.repeat(15)}b`, 'x'.repeat(31), 'x'.repeat(32), 'y'.repeat(255)];
    const messages = topics.map((topic, number) => messageOf(`m-${number}`, topic, 'é'.repeat(5_000)));
    for (const message of messages) before.hub.publish(message);
    await before.safe();
    await before.store.close();
    const after = await openLab(folder);
    const taker = after.taker('q');
    assert.equal(taker.entries.length, messages.length);
    for (const [number, { envelope }] of taker.entries.entries()) {
      const { id, topic, time, source, headers, payload } = messages[number]!;
      assert.equal(envelope.topic, topic);
      assert.deepEqual([envelope.id, envelope.time, envelope.source], [id, time, source]);
      assert.deepEqual({ ...envelope.headers }, { ...headers });
      assert.deepEqual(envelope.payload.encode(), payload.encode());
    }
  });

  it('brings a queue back with settings, bindings, epoch, checkpoint and id', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    const limit = { messages: 7, onFull: 'drop-oldest' } as const;
    const queue = before.declare('q', { ownership: 'exclusive', limit, expiresMs: 1e9 });
    before.hub.reconcile(queue, ['a.*', 'b.#']);
    queue.claim({ master: 'm', granted() {}, standby() {}, full() {}, lost() {} });
    queue.save(Uint8Array.of(1, 2, 3));
    queue.save(Uint8Array.of(4, 5));
    const { epoch, id } = queue;
    assert.ok(epoch > 0);
    await before.safe();
    await before.store.close();
    const after = await openLab(folder);
    const again = after.hub.queue('q');
    assert.deepEqual([...again.bindings].sort(), ['a.*', 'b.#']);
    assert.deepEqual(
      [again.epoch, again.id, again.checkpoint, again.spec],
      [epoch, id, Uint8Array.of(4, 5), queue.spec],
    );
    after.hub.publish(messageOf('bound', 'b.x'));
    await after.safe();
    assert.deepEqual(after.held('q'), ['bound']);
  });

  it('forgets what was acked and keeps the rest, with the attempts that had begun', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    before.declare('q');
    before.publish(...numbers(6));
    await before.safe();
    const taker = before.taker('q', 4);
    taker.begin(3);
    taker.ack(2);
    taker.close();
    await before.safe();
    await before.store.close();
    const after = await openLab(folder);
    assert.deepEqual(after.held('q'), ['m-2!+3', 'm-3!+3', 'm-4', 'm-5']);
    const rest = after.taker('q');
    rest.ack();
    await after.safe();
    await after.store.close();
    assert.deepEqual((await openLab(folder)).held('q'), []);
  });

  it('takes back an attempt that was cut off, and its mark', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    before.declare('q');
    before.publish('m');
    await before.safe();
    const taker = before.taker('q');
    taker.begin(1);
    await before.safe();
    for (const entry of taker.held) taker.queue.cutOff(entry);
    await before.safe();
    await before.store.close();
    assert.deepEqual((await openLab(folder)).held('q'), ['m']);
  });

  it('keeps dead letters oldest first, puts them back and drops them', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    before.declare('q');
    before.publish(...numbers(5));
    await before.safe();
    const taker = before.taker('q');
    before.hub.operations.run(() => {
      for (const entry of [...taker.held]) {
        taker.queue.bury(entry, {
          reason: 'rejected',
          error: `wrong ${entry.position}`,
          attempts: 1,
          history: [],
        });
        taker.queue.settle(taker, entry);
      }
    });
    await before.safe();
    await before.session().dropDeadLetters('q', ['q/m-1/0']);
    await before.store.close();

    const between = await openLab(folder);
    const letters = [...between.hub.queue('q').letters.values()];
    assert.deepEqual(
      letters.map(({ id, error, envelope }) => [id, error, envelope.id, envelope.topic]),
      [0, 2, 3, 4].map((number) => [`q/m-${number}/0`, `wrong ${number + 1}`, `m-${number}`, 'a.topic']),
    );
    // Its bytes lie with the letter, which the same batch removes.
    assert.equal(await between.session().redrive('q', ['q/m-3/0']), 1);
    assert.deepEqual(between.held('q'), ['m-3!']);
    await between.store.close();

    const after = await openLab(folder);
    assert.deepEqual(after.held('q'), ['m-3!']);
    assert.deepEqual([...after.hub.queue('q').letters.keys()], ['q/m-0/0', 'q/m-2/0', 'q/m-4/0']);
    const [entry] = after.taker('q').entries;
    assert.deepEqual([entry!.redrives, entry!.envelope.topic], [1, 'a.topic']);
  });

  it('removes a queue with all that it held, in pieces, and another of its name begins with nothing', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    before.declare('q');
    before.declare('other');
    before.publish(...numbers(5_000));
    await before.safe();
    before.hub.delete('q', { whileInUse: true });
    before.declare('q');
    before.publish('fresh');
    await before.safe();
    assert.deepEqual(before.held('q'), ['fresh']);
    await eventually('what it held is gone', () => before.store.isIdle);
    await before.store.close();
    const after = await openLab(folder);
    assert.deepEqual(after.held('q'), ['fresh']);
    assert.equal(after.held('other').length, 5_001);
  });

  it('cleans up at the next opening what a deleted queue has left behind', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    const queue = before.declare('q');
    before.publish(...numbers(9_000));
    await before.safe();
    before.hub.delete('q', { whileInUse: true });
    assert.equal(queue.depth, 9_000);
    await before.safe();
    await before.store.close();
    const after = await openLab(folder);
    assert.equal(after.hub.queues.size, 0);
    after.declare('q');
    await eventually('the leftovers are gone', () => after.store.isIdle);
    assert.deepEqual(after.held('q'), []);
    await after.store.close();
    assert.equal((await openLab(folder)).store.isIdle, true);
  });

  it('leaves no trace of a queue that came and went', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    before.declare('q');
    before.publish('m');
    before.hub.delete('q', { whileInUse: true });
    await before.safe();
    await before.store.close();
    const after = await openLab(folder);
    assert.deepEqual([after.store.namespaces, after.store.isIdle], [[], true]);
  });

  it('keeps two namespaces of one folder apart', async () => {
    const folder = newFolder();
    const before = await openLab(folder);
    const beside = before.beside('other');
    before.declare('q');
    beside.declare('q');
    before.publish('mine');
    beside.publish('yours');
    await Promise.all([before.safe(), beside.safe()]);
    await before.store.close();
    const after = await openLab(folder);
    assert.deepEqual([...after.store.namespaces].sort(), ['lab', 'other']);
    assert.deepEqual(after.held('q'), ['mine']);
    after.hub.delete('q', { whileInUse: true });
    assert.deepEqual(after.beside('other').held('q'), ['yours']);
    await after.store.close();
    assert.deepEqual((await openLab(folder)).store.namespaces, ['other']);
  });

  it('confirms nothing before it is safe, and delivers nothing', async () => {
    const lab = await openLab(newFolder());
    lab.declare('q');
    const taker = lab.taker('q');
    const journal = lab.store.journal('lab');
    const { batch } = journal;
    lab.publish('m');
    let isSafe = false;
    journal.afterFlush(() => (isSafe = true));
    assert.deepEqual([isSafe, taker.taken, lab.store.isIdle], [false, [], false]);
    await eventually('it is safe', () => isSafe);
    assert.deepEqual(taker.taken, ['m']);
    assert.ok(journal.safeBatch >= batch);
  });

  it('calls back at once when nothing is to be written', async () => {
    const lab = await openLab(newFolder());
    let called = 0;
    lab.store.journal('lab').afterFlush(() => called++);
    lab.publish('matches nothing');
    lab.store.journal('lab').afterFlush(() => called++);
    assert.equal(called, 2);
  });

  it('keeps no more than so many bytes of messages in memory, and delivers all of them', async () => {
    const lab = await openLab(newFolder(), { residentBytesMax: 20_000 });
    lab.declare('q');
    lab.declare('twin');
    for (let number = 0; number < 100; number++)
      lab.hub.publish(messageOf(`m-${number}`, 'a', 'x'.repeat(1_000)));
    await eventually('the table has it', () => lab.store.isIdle);
    const entries = ['q', 'twin'].flatMap((name) => lab.taker(name).entries);
    const inMemory = entries.reduce(
      (sum, { envelope }) => sum + (envelope as PackedEnvelope).bytesInMemory,
      0,
    );
    assert.ok(inMemory > 10_000 && inMemory <= 20_000, `${inMemory} bytes are in memory`);
    assert.equal(entries.length, 200);
    for (const [at, { envelope }] of entries.entries()) {
      assert.equal(envelope.id, `m-${at % 100}`);
      assert.equal(envelope.topic, 'a');
    }
  });

  it('reads a message for one queue after the other has removed it', async () => {
    const lab = await openLab(newFolder(), { residentBytesMax: 0 });
    lab.declare('q');
    lab.declare('twin');
    lab.publish('m');
    await lab.safe();
    lab.taker('q').ack();
    await lab.safe();
    assert.deepEqual(lab.held('twin'), ['m']);
  });

  it('keeps the letter of a message whose bytes were not in memory', async () => {
    const lab = await openLab(newFolder(), { residentBytesMax: 0 });
    lab.declare('q');
    lab.publish('m');
    await lab.safe();
    const taker = lab.taker('q');
    const [entry] = taker.entries;
    lab.hub.operations.run(() => {
      taker.queue.bury(entry!, { reason: 'rejected', error: 'no', attempts: 1, history: [] });
      taker.queue.settle(taker, entry!);
    });
    await lab.safe();
    const [letter] = lab.hub.queue('q').letters.values();
    assert.deepEqual([letter!.envelope.id, letter!.envelope.topic], ['m', 'a.topic']);
  });

  it('closes once, and closes what was being written', async () => {
    const folder = newFolder();
    const lab = await openLab(folder);
    lab.declare('q');
    lab.publish('m');
    await Promise.all([lab.store.close(), lab.store.close()]);
    assert.deepEqual((await openLab(folder)).held('q'), ['m']);
  });

  it('does not flag fresh messages because of an old crash', async () => {
    const folder = newFolder();
    // Nobody closes these: it is as if the hub had been killed.
    const killed = await openLab(folder);
    killed.declare('q');
    killed.publish(...numbers(10));
    await killed.safe();
    const survivor = await openLab(folder);
    assert.deepEqual(
      survivor.held('q'),
      numbers(10).map((id) => `${id}!`),
    );
    survivor.publish('fresh');
    await survivor.safe();
    assert.deepEqual(survivor.held('q').at(-1), 'fresh');
    survivor.taker('q').ack();
    await survivor.store.close();
    // Positions begin anew in an empty queue.
    const after = await openLab(folder);
    after.publish(...numbers(3));
    await after.safe();
    await after.store.close();
    assert.deepEqual((await openLab(folder)).held('q'), numbers(3));
  });
});

describe('two stores on one folder', () => {
  it('cannot both write: the first one fails', async () => {
    const folder = newFolder();
    const first = await openLab(folder);
    first.declare('q');
    first.publish('before');
    await first.safe();
    const second = await openLab(folder);
    let isConfirmed = false;
    first.publish('too late');
    first.store.journal('lab').afterFlush(() => (isConfirmed = true));
    const error = await first.store.failed;
    assert.match(error.message, /Another hub has taken the folder/);
    assert.equal(isConfirmed, false);
    assert.deepEqual(second.held('q'), ['before!']);
    second.publish('second');
    await second.safe();
    await first.store.close();
    await second.store.close();
    assert.deepEqual((await openLab(folder)).held('q'), ['before!', 'second']);
  });

  it('leave the folder to the second also when the first only closes', async () => {
    const folder = newFolder();
    const first = await openLab(folder);
    first.declare('q');
    await first.safe();
    const second = await openLab(folder);
    second.publish('m');
    await second.safe();
    await first.store.close();
    // The second was not closed: a clean end of the first says nothing about it.
    const third = await openLab(folder);
    assert.deepEqual(third.held('q'), ['m!']);
  });
});
