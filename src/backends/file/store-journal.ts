import type { DurableQueue } from '../hub/durable-queue.js';
import type { Entry, Letter } from '../hub/queue-parts.js';
import type { Journal } from '../hub/journal.js';
import type { Envelope } from '../../model/message.js';
import { Subject, type ChangeList } from './change-list.js';
import type { GroupCommit } from './group-commit.js';
import { PackedEnvelope, packEnvelope } from './packed-envelope.js';
import { packCheckpoint, packLetter, packMark } from './records.js';
import type { StoredQueue } from './stored-queue.js';
import type { Table } from './table.js';

export interface JournalPorts {
  readonly commit: GroupCommit;
  readonly table: Pick<Table, 'gathered' | 'sealed'>;
  readonly refusal: () => Error | undefined;
  /** A place for a new queue. */
  readonly create: () => StoredQueue;
}

/**
 * The journal of one namespace: passes on to the batch that is gathered for the log, and to what is gathered for the
 * table, by the number that a queue has in the store.
 */
export class StoreJournal implements Journal {
  readonly #ports: JournalPorts;
  readonly #commit: GroupCommit;
  readonly #queues = new Map<DurableQueue, StoredQueue>();

  constructor(ports: JournalPorts) {
    this.#ports = ports;
    this.#commit = ports.commit;
  }

  get batch(): number {
    return this.#commit.gathered.number;
  }

  get safeBatch(): number {
    return this.#commit.safeBatch;
  }

  get refusal(): Error | undefined {
    return this.#ports.refusal();
  }

  /** A queue of the hub that the store has brought back. */
  adopt(queue: DurableQueue, stored: StoredQueue): void {
    this.#queues.set(queue, stored);
  }

  putQueue(queue: DurableQueue): void {
    let stored = this.#queues.get(queue);
    if (!stored) this.#queues.set(queue, (stored = this.#ports.create()));
    this.#put(Subject.queue, stored, 0, stored.pack(queue));
  }

  putCheckpoint(queue: DurableQueue): void {
    if (queue.checkpoint)
      this.#put(Subject.checkpoint, this.#stored(queue), 0, packCheckpoint(queue.checkpoint));
  }

  removeQueue(queue: DurableQueue): void {
    const stored = this.#stored(queue);
    stored.end();
    this.#queues.delete(queue);
    this.#ports.table.gathered.removeQueue(stored.number, stored);
    this.#remove(Subject.queue, stored, 0);
  }

  addEntry(queue: DurableQueue, entry: Entry): void {
    const stored = this.#stored(queue);
    const bytes = takeBytes(entry);
    stored.count(bytes.length);
    this.#ports.table.gathered.addEntry(stored, entry, bytes.length);
    this.#log.put(Subject.entry, stored.number, entry.position, bytes);
    if (!stored.isPlain(entry)) this.#mark(stored, entry);
    this.#wake();
  }

  markEntry(queue: DurableQueue, entry: Entry): void {
    this.#mark(this.#stored(queue), entry);
  }

  #mark(stored: StoredQueue, entry: Entry): void {
    if (!stored.isPlain(entry)) this.#put(Subject.mark, stored, entry.position, packMark(entry));
    else if (this.#ports.table.gathered.removeMark(stored, entry.position))
      this.#remove(Subject.mark, stored, entry.position);
  }

  removeEntry(queue: DurableQueue, entry: Entry): void {
    const stored = this.#stored(queue);
    const { gathered, sealed } = this.#ports.table;
    if (entry.envelope instanceof PackedEnvelope) stored.count(-entry.envelope.bytesInMemory);
    if (gathered.removeEntry(stored, entry)) sealed?.detach(stored, entry);
    this.#remove(Subject.entry, stored, entry.position);
  }

  putLetter(queue: DurableQueue, letter: Letter): void {
    const stored = this.#stored(queue);
    takeBytes(letter);
    const bytes = packLetter(letter);
    const place = stored.nextLetter++;
    stored.letters.set(letter, place);
    this.#ports.table.gathered.putLetter(stored, place, { letter, bytes });
    this.#log.put(Subject.letter, stored.number, place, bytes);
    this.#wake();
  }

  removeLetter(queue: DurableQueue, letter: Letter): void {
    const stored = this.#stored(queue);
    const place = stored.letters.get(letter);
    if (place === undefined) return;
    stored.letters.delete(letter);
    this.#ports.table.gathered.removeLetter(stored, place);
    this.#remove(Subject.letter, stored, place);
  }

  afterFlush(callback: () => void): void {
    this.#commit.afterFlush(callback);
  }

  get #log(): ChangeList {
    return this.#commit.gathered.changes;
  }

  #put(subject: Subject, stored: StoredQueue, place: number, bytes: Uint8Array): void {
    this.#ports.table.gathered.put(subject, stored.number, place, bytes, stored);
    this.#log.put(subject, stored.number, place, bytes);
    this.#wake();
  }

  /** The table knows already. */
  #remove(subject: Subject, stored: StoredQueue, place: number): void {
    this.#log.remove(subject, stored.number, place);
    this.#wake();
  }

  #wake(): void {
    this.#commit.gathered.size++;
    this.#commit.wake();
  }

  #stored(queue: DurableQueue): StoredQueue {
    return this.#queues.get(queue)!;
  }
}

/** Has the bytes in memory from now on: wherever they are now may be emptied by the same batch. */
function takeBytes(holder: { envelope: Envelope }): Uint8Array {
  const { envelope } = holder;
  const bytes = packEnvelope(envelope);
  if (!(envelope instanceof PackedEnvelope) || envelope.bytesInMemory === 0)
    holder.envelope = new PackedEnvelope(undefined, bytes);
  return bytes;
}
