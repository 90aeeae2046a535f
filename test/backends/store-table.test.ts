import assert from 'node:assert/strict';
import { describe, it } from 'vitest';
import { readChanges } from '../../src/backends/file/change-list.js';
import type { Databases, PlaceKey } from '../../src/backends/file/databases.js';
import { GroupCommit } from '../../src/backends/file/group-commit.js';
import { RECORD_HEAD_BYTES } from '../../src/backends/file/log-record.js';
import { StoreJournal } from '../../src/backends/file/store-journal.js';
import { StoredQueue } from '../../src/backends/file/stored-queue.js';
import { TableChanges } from '../../src/backends/file/table-changes.js';
import type { DurableQueue } from '../../src/backends/hub/durable-queue.js';
import type { Entry, Letter } from '../../src/backends/hub/queue-parts.js';
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
}

/** A journal whose table takes what it is given when the test says so. */
class Desk {
  readonly notes = new Notes();
  readonly table: { gathered: TableChanges; sealed: TableChanges | undefined } = {
    gathered: new TableChanges(),
    sealed: undefined,
  };
  readonly commit = new GroupCommit({
    clock: new VirtualClock(),
    hasMore: () => false,
    write: () => Promise.resolve(),
    failed: () => {},
  });
  readonly queue: DurableQueue;
  readonly stored: StoredQueue;
  readonly journal: StoreJournal;

  constructor(flaggedBefore = 0) {
    this.queue = hubQueue();
    this.stored = new StoredQueue(this.notes.databases, 'lab', 1, flaggedBefore, { bytes: 0 });
    this.journal = new StoreJournal({
      commit: this.commit,
      table: this.table,
      refusal: () => undefined,
      create: () => this.stored,
    });
    this.journal.adopt(this.queue, this.stored);
  }

  seal(): void {
    this.table.sealed = this.table.gathered;
    this.table.gathered = new TableChanges();
    this.table.sealed.seal();
  }

  write(): string[] {
    this.notes.done.length = 0;
    const { sealed } = this.table;
    sealed!.write(this.notes.databases);
    sealed!.removeSome(this.notes.databases, 0, sealed!.removals);
    this.table.sealed = undefined;
    return [...this.notes.done];
  }

  /** What the table takes of what was gathered. */
  taken(): string[] {
    this.seal();
    return this.write();
  }

  /** What the next hub makes of the log up to now. */
  replayed(): string[] {
    const { buffer, bytes } = this.commit.gathered.changes;
    const changes = new TableChanges();
    readChanges(buffer.subarray(RECORD_HEAD_BYTES, bytes), changes);
    changes.seal();
    this.notes.done.length = 0;
    changes.write(this.notes.databases);
    changes.removeSome(this.notes.databases, 0, changes.removals);
    return [...this.notes.done];
  }
}

function entryOf(position: number): Entry {
  const envelope = messageOf(`m-${position}`);
  return {
    position,
    envelope,
    redrives: 0,
    attempts: 0,
    redelivered: false,
    begun: false,
    place: -1,
    batch: 1,
  };
}

function hubQueue(checkpoint?: Uint8Array): DurableQueue {
  const settings = { id: 'id', spec: specOf('q'), bindings: new Set(['#']), epoch: 1, checkpoint };
  return settings as unknown as DurableQueue;
}

function letterOf(id: string): Letter {
  const details = { reason: 'rejected', error: '', attempts: 1, history: [] } as const;
  return { id, envelope: messageOf(id), redrives: 0, at: 1, ...details };
}

describe('the table', () => {
  it('never sees a message that was added, marked and removed since it took something', () => {
    const desk = new Desk();
    const entry = entryOf(1);
    desk.journal.addEntry(desk.queue, entry);
    entry.attempts = 1;
    desk.journal.markEntry(desk.queue, entry);
    desk.journal.removeEntry(desk.queue, entry);
    assert.deepEqual(desk.taken(), []);
    assert.equal(desk.stored.memory.bytes, 0);
  });

  it('takes a message and its mark, and of several marks the last', () => {
    const desk = new Desk();
    const entry = entryOf(1);
    desk.journal.addEntry(desk.queue, entry);
    for (entry.attempts = 1; entry.attempts < 4; entry.attempts++) desk.journal.markEntry(desk.queue, entry);
    assert.deepEqual(desk.taken(), ['put entries 1/1', 'put marks 1/1']);
  });

  it('removes what it has of a message, the mark first', () => {
    const desk = new Desk();
    const [one, other] = [entryOf(1), entryOf(2)];
    for (const entry of [one, other]) {
      desk.journal.addEntry(desk.queue, entry);
      entry.attempts = 1;
      desk.journal.markEntry(desk.queue, entry);
    }
    desk.taken();
    desk.journal.removeEntry(desk.queue, one);
    other.attempts = 0;
    desk.journal.markEntry(desk.queue, other);
    assert.deepEqual(desk.taken(), ['remove marks 1/1', 'remove marks 1/2', 'remove entries 1/1']);
    desk.journal.markEntry(desk.queue, other);
    assert.deepEqual(desk.taken(), []);
  });

  it('is given a message as it was, when the hub lets go of it on the way', () => {
    const desk = new Desk();
    const entry = entryOf(1);
    desk.journal.addEntry(desk.queue, entry);
    desk.seal();
    desk.journal.removeEntry(desk.queue, entry);
    const { sealed } = desk.table;
    assert.deepEqual(desk.write(), ['put entries 1/1']);
    sealed!.leaveMemory(Infinity);
    assert.equal(desk.stored.memory.bytes, 0);
    assert.deepEqual(desk.taken(), ['remove entries 1/1']);
  });

  it('marks no message for a flag that all of its age have', () => {
    const desk = new Desk(10);
    for (const entry of [entryOf(9), entryOf(10)]) {
      entry.redelivered = true;
      desk.journal.markEntry(desk.queue, entry);
    }
    assert.deepEqual(desk.taken(), ['put marks 1/10']);
  });

  it('marks a message that was put back', () => {
    const desk = new Desk();
    desk.journal.addEntry(desk.queue, { ...entryOf(1), redrives: 1, redelivered: true });
    assert.deepEqual(desk.taken(), ['put entries 1/1', 'put marks 1/1']);
  });

  it('takes settings and checkpoint of a queue once', () => {
    const desk = new Desk();
    desk.queue.checkpoint = Uint8Array.of(1);
    for (let times = 0; times < 3; times++) {
      desk.journal.putQueue(desk.queue);
      desk.journal.putCheckpoint(desk.queue);
    }
    assert.deepEqual(desk.taken(), ['put queues 1', 'put checkpoints 1']);
  });

  it('never sees a letter that was put and taken since it took something', () => {
    const desk = new Desk();
    const [kept, dropped] = [letterOf('kept'), letterOf('dropped')];
    desk.journal.putLetter(desk.queue, dropped);
    desk.journal.putLetter(desk.queue, kept);
    desk.journal.removeLetter(desk.queue, dropped);
    assert.deepEqual(desk.taken(), ['put letters 1/2']);
    desk.journal.removeLetter(desk.queue, kept);
    assert.deepEqual(desk.taken(), ['remove letters 1/2']);
  });

  it.each([false, true])('of a queue that is gone keeps nothing (it had its record: %s)', (known) => {
    const desk = new Desk();
    desk.journal.putQueue(desk.queue);
    if (known) desk.taken();
    desk.queue.checkpoint = Uint8Array.of(1);
    desk.journal.putCheckpoint(desk.queue);
    const entry = entryOf(1);
    desk.journal.addEntry(desk.queue, entry);
    entry.attempts = 1;
    desk.journal.markEntry(desk.queue, entry);
    desk.journal.removeQueue(desk.queue);
    desk.seal();
    assert.deepEqual(desk.table.sealed!.emptied, known ? [1] : []);
    assert.deepEqual(desk.write(), known ? ['remove queues 1', 'remove checkpoints 1'] : []);
    assert.equal(desk.stored.memory.bytes, 0);
  });
});

describe('the log', () => {
  it('brings the next hub to the same table, whatever the table had taken of it', () => {
    const desk = new Desk();
    const { journal, queue } = desk;
    journal.putQueue(queue);
    const [kept, acked, buried] = [entryOf(1), entryOf(2), entryOf(3)];
    for (const entry of [kept, acked, buried]) journal.addEntry(queue, entry);
    acked.attempts = kept.attempts = 1;
    journal.markEntry(queue, acked);
    journal.markEntry(queue, kept);
    journal.removeEntry(queue, acked);
    journal.putLetter(queue, letterOf('buried'));
    journal.removeEntry(queue, buried);
    const expected = [
      ...['put queues 1', 'put entries 1/1', 'put marks 1/1', 'put letters 1/1'],
      ...['remove marks 1/2', 'remove marks 1/3', 'remove entries 1/2', 'remove entries 1/3'],
    ];
    assert.deepEqual(desk.replayed(), expected);
    desk.taken();
    assert.deepEqual(desk.replayed(), expected);
    journal.removeQueue(queue);
    assert.deepEqual(desk.replayed(), ['remove queues 1', 'remove checkpoints 1']);
  });
});
