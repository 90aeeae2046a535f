import assert from 'node:assert/strict';
import { describe, it } from 'vitest';
import { Batch } from '../../src/backends/file/batch.js';
import type { Databases, PlaceKey } from '../../src/backends/file/databases.js';
import { GroupCommit } from '../../src/backends/file/group-commit.js';
import { StoredQueue } from '../../src/backends/file/stored-queue.js';
import type { DurableQueue, Entry, Letter } from '../../src/backends/hub/durable-queue.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';
import { specOf } from '../../src/testing/cases/member.js';
import { messageOf } from './store-lab.js';

/** Databases that only note what is done to them. */
class Notes {
  readonly done: string[] = [];
  readonly databases: Databases;

  constructor() {
    const places = (name: string) => ({
      put: (key: PlaceKey | number | string) => this.#note('put', name, key),
      remove: (key: PlaceKey | number) => this.#note('remove', name, key),
    });
    const names = ['meta', 'queues', 'checkpoints', 'entries', 'marks', 'letters'];
    this.databases = Object.fromEntries(names.map((name) => [name, places(name)])) as never;
  }

  #note(what: string, name: string, key: PlaceKey | number | string): Promise<boolean> {
    this.done.push(`${what} ${name} ${typeof key === 'object' ? `${key.queue}/${key.place}` : key}`);
    return Promise.resolve(true);
  }

  queue(number = 1, flaggedBefore = 0): StoredQueue {
    return new StoredQueue(this.databases, 'lab', number, flaggedBefore, { bytes: 0 });
  }

  write(batch: Batch): string[] {
    this.done.length = 0;
    batch.write(this.databases);
    batch.remove(this.databases, 0, batch.removals);
    return [...this.done];
  }
}

function entryOf(position: number, batch: number): Entry {
  const envelope = messageOf(`m-${position}`);
  return { position, envelope, redrives: 0, attempts: 0, redelivered: false, begun: false,
    place: -1, batch };
}

const hubQueue = (checkpoint?: Uint8Array) =>
  ({
    id: 'id',
    spec: specOf('q'),
    bindings: new Set(['#']),
    epoch: 1,
    checkpoint,
  }) as unknown as DurableQueue;

describe('a batch', () => {
  it('writes nothing of a message that was added, marked and removed within it', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const batch = new Batch(1);
    const entry = entryOf(1, 1);
    batch.addEntry(stored, entry);
    entry.attempts = 1;
    batch.markEntry(stored, entry);
    batch.removeEntry(stored, entry);
    assert.deepEqual(notes.write(batch), []);
  });

  it('writes a message and its mark, and of several marks the last', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const batch = new Batch(1);
    const entry = entryOf(1, 1);
    batch.addEntry(stored, entry);
    for (entry.attempts = 1; entry.attempts < 4; entry.attempts++) batch.markEntry(stored, entry);
    assert.deepEqual(notes.write(batch), ['put entries 1/1', 'put marks 1/1']);
  });

  it('writes only the removal of what was marked and removed', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const entry = entryOf(1, 1);
    const first = new Batch(1);
    first.addEntry(stored, entry);
    assert.deepEqual(notes.write(first), ['put entries 1/1']);
    const second = new Batch(2);
    entry.attempts = 1;
    second.markEntry(stored, entry);
    second.removeEntry(stored, entry);
    assert.deepEqual(notes.write(second), ['remove entries 1/1']);
  });

  it('removes a mark that an earlier batch has written, and one that says nothing any more', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const [one, other] = [entryOf(1, 1), entryOf(2, 1)];
    const first = new Batch(1);
    for (const entry of [one, other]) {
      first.addEntry(stored, entry);
      entry.attempts = 1;
      first.markEntry(stored, entry);
    }
    notes.write(first);
    const second = new Batch(2);
    second.removeEntry(stored, one);
    other.attempts = 0;
    second.markEntry(stored, other);
    assert.deepEqual(notes.write(second), ['remove marks 1/2', 'remove marks 1/1', 'remove entries 1/1']);
    const third = new Batch(3);
    third.markEntry(stored, other);
    assert.deepEqual(notes.write(third), []);
  });

  it('marks no message for a flag that all of its age have', () => {
    const notes = new Notes();
    const stored = notes.queue(1, 10);
    const batch = new Batch(2);
    const [old, fresh] = [entryOf(9, 0), entryOf(10, 0)];
    for (const entry of [old, fresh]) {
      entry.redelivered = true;
      batch.markEntry(stored, entry);
    }
    assert.deepEqual(notes.write(batch), ['put marks 1/10']);
  });

  it('marks a message that was put back', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const batch = new Batch(1);
    batch.addEntry(stored, { ...entryOf(1, 1), redrives: 1, redelivered: true });
    assert.deepEqual(notes.write(batch), ['put entries 1/1', 'put marks 1/1']);
  });

  it('writes settings and checkpoint of a queue once', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const batch = new Batch(1);
    const queue = hubQueue(Uint8Array.of(1));
    for (let times = 0; times < 3; times++) {
      batch.putQueue(stored, queue);
      batch.putCheckpoint(stored, queue);
    }
    assert.deepEqual(notes.write(batch), ['put queues 1', 'put checkpoints 1']);
  });

  it('writes nothing of a letter that was put and taken within it', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const letter = (id: string): Letter => ({
      ...{ id, envelope: messageOf(id), redrives: 0, at: 1 },
      ...{ reason: 'rejected', error: '', attempts: 1 },
    });
    const [kept, dropped] = [letter('kept'), letter('dropped')];
    const first = new Batch(1);
    first.putLetter(stored, dropped);
    first.putLetter(stored, kept);
    first.removeLetter(stored, dropped);
    assert.deepEqual(notes.write(first), ['put letters 1/2']);
    const second = new Batch(2);
    second.removeLetter(stored, kept);
    assert.deepEqual(notes.write(second), ['remove letters 1/2']);
  });

  it('of a queue that is gone writes that it is gone, and nothing of what it held', () => {
    const notes = new Notes();
    const stored = notes.queue();
    const first = new Batch(1);
    first.putQueue(stored, hubQueue());
    notes.write(first);
    const second = new Batch(2);
    const entry = entryOf(1, 2);
    second.putQueue(stored, hubQueue());
    second.putCheckpoint(stored, hubQueue(Uint8Array.of(1)));
    second.addEntry(stored, entry);
    entry.attempts = 1;
    second.markEntry(stored, entry);
    stored.end();
    second.removeQueue(stored);
    assert.deepEqual(notes.write(second), ['remove queues 1', 'remove checkpoints 1']);
    assert.equal(stored.memory.bytes, 0);
  });
});

/** A disk that flushes when the test says so. */
class Disk {
  readonly clock = new VirtualClock();
  readonly written: number[] = [];
  readonly said: string[] = [];
  failure: Error | undefined;
  more = 0;
  readonly #flushes: { resolve: () => void; reject: (error: Error) => void }[] = [];
  readonly commit = new GroupCommit({
    clock: this.clock,
    hasMore: () => this.more > 0,
    fill: (batch) => {
      if (this.more-- > 0) batch.sweep('entries', { queue: 1, place: 1 });
    },
    write: (batch) => {
      this.written.push(batch.number);
      return new Promise((resolve, reject) => this.#flushes.push({ resolve, reject }));
    },
    written: (batch) => this.said.push(`${batch.number} is safe`),
    failed: (error) => (this.failure = error),
  });
  readonly #stored = new Notes().queue();

  ack(): void {
    this.commit.gathered.markEntry(this.#stored, entryOf(1, 0));
    this.commit.wake();
  }

  publish(name: string): void {
    this.ack();
    this.commit.afterFlush(() => this.said.push(name));
  }

  async flush(): Promise<void> {
    this.#flushes.shift()!.resolve();
    await this.turn();
  }

  async fail(error: Error): Promise<void> {
    this.#flushes.shift()!.reject(error);
    await this.turn();
  }

  /** Lets the event loop turn, and no time pass. */
  turn(): Promise<void> {
    return this.clock.advance(0);
  }
}

describe('group commit', () => {
  it('writes what came in one turn of the event loop together', async () => {
    const disk = new Disk();
    disk.publish('a');
    disk.publish('b');
    assert.deepEqual(disk.written, []);
    await disk.turn();
    assert.deepEqual([disk.written, disk.said], [[1], []]);
    await disk.flush();
    assert.deepEqual(disk.said, ['1 is safe', 'a', 'b']);
    assert.equal(disk.commit.isIdle, true);
  });

  it('has one batch on its way, and starts the next when that is safe', async () => {
    const disk = new Disk();
    disk.publish('a');
    await disk.turn();
    for (const name of ['b', 'c']) {
      disk.publish(name);
      await disk.turn();
    }
    assert.deepEqual(disk.written, [1]);
    await disk.flush();
    assert.deepEqual([disk.written, disk.commit.safeBatch], [[1, 2], 1]);
    await disk.flush();
    assert.deepEqual(disk.said, ['1 is safe', 'a', '2 is safe', 'b', 'c']);
  });

  it('tells who asks while a batch is on its way, and nothing is gathered, when that is safe', async () => {
    const disk = new Disk();
    disk.publish('a');
    await disk.turn();
    disk.commit.afterFlush(() => disk.said.push('also'));
    await disk.flush();
    assert.deepEqual([disk.said, disk.written], [['1 is safe', 'a', 'also'], [1]]);
    disk.commit.afterFlush(() => disk.said.push('at once'));
    assert.equal(disk.said.at(-1), 'at once');
  });

  it('lets acks that nobody waits for wait for company, and not for long', async () => {
    const disk = new Disk();
    disk.ack();
    await disk.clock.advance(4);
    assert.deepEqual(disk.written, []);
    await disk.clock.advance(1);
    assert.deepEqual(disk.written, [1]);
    disk.ack();
    await disk.flush();
    await disk.clock.advance(4);
    assert.deepEqual(disk.written, [1]);
    disk.publish('a');
    await disk.turn();
    assert.deepEqual([disk.written, disk.clock.pending], [[1, 2], 0]);
    await disk.flush();
    assert.deepEqual(disk.said, ['1 is safe', '2 is safe', 'a']);
  });

  it('does not let many acks wait', async () => {
    const disk = new Disk();
    for (let count = 0; count < 10_000; count++) disk.ack();
    await disk.turn();
    assert.deepEqual(disk.written, [1]);
  });

  it('writes what may be written by and by, when nothing else is to be written too', async () => {
    const disk = new Disk();
    disk.more = 2;
    disk.ack();
    await disk.clock.advance(5);
    await disk.flush();
    await disk.clock.advance(5);
    await disk.flush();
    await disk.clock.advance(50);
    assert.deepEqual([disk.written, disk.commit.isIdle], [[1, 2], true]);
  });

  it('fails once, confirms nothing of what was not safe, and writes nothing more', async () => {
    const disk = new Disk();
    disk.publish('a');
    await disk.turn();
    disk.publish('b');
    await disk.fail(new Error('the disk broke'));
    disk.publish('c');
    await disk.clock.advance(50);
    assert.deepEqual([disk.failure?.message, disk.said, disk.written], ['the disk broke', [], [1]]);
    assert.equal(disk.clock.pending, 0);
  });

  it('fails when a callback throws', async () => {
    const disk = new Disk();
    disk.commit.gathered.size++;
    disk.commit.afterFlush(() => {
      throw new Error('a bug');
    });
    await disk.turn();
    await disk.flush();
    assert.equal(disk.failure?.message, 'a bug');
  });
});
