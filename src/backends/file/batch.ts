import type { Envelope } from '../../model/message.js';
import type { DurableQueue, Entry, Letter } from '../hub/durable-queue.js';
import { PAGE_BYTES, type Databases, type Kind, type PlaceKey } from './databases.js';
import { PackedEnvelope, packEnvelope } from './packed-envelope.js';
import { packCheckpoint, packLetter, packMark, packNumber } from './records.js';
import type { StoredQueue } from './stored-queue.js';

/** What a record takes on a page beside its bytes, at most. */
const ENTRY_BYTES = 64;

interface Addition {
  readonly stored: StoredQueue;
  readonly entry: Entry;
  readonly bytes: Uint8Array;
}

interface Removal extends PlaceKey {
  readonly kind: Kind;
}

interface LetterAddition {
  readonly stored: StoredQueue;
  readonly bytes: Uint8Array;
}

/**
 * What is to be written together. What is undone within the batch is not written at all: a message that was added,
 * marked and removed leaves no trace.
 */
export class Batch {
  /** Called in this order once the batch is safe. */
  readonly callbacks: (() => void)[] = [];
  /** Queues that are gone: what they held is removed bit by bit. */
  readonly emptied: StoredQueue[] = [];
  /** Of what it adds, and of the pages where it does. */
  bytes = 0;
  /** How many records it writes and removes, at most. */
  size = 0;
  /** The number of the newest queue, if one was created. */
  newestQueue: number | undefined;

  readonly #added: Addition[] = [];
  /** Added here, and removed since. */
  readonly #gone = new Set<Entry>();
  readonly #marked = new Map<Entry, StoredQueue>();
  readonly #queues = new Map<StoredQueue, Uint8Array>();
  readonly #checkpoints = new Map<StoredQueue, Uint8Array>();
  readonly #letters = new Map<Letter, LetterAddition>();
  readonly #removed: Removal[] = [];

  constructor(readonly number: number) {}

  /** How many records it removes. */
  get removals(): number {
    return this.#removed.length;
  }

  get isEmpty(): boolean {
    return this.size === 0;
  }

  addEntry(stored: StoredQueue, entry: Entry): void {
    const bytes = takeBytes(entry);
    this.#added.push({ stored, entry, bytes });
    if (!stored.isPlain(entry)) this.#marked.set(entry, stored);
    stored.count(bytes.length);
    this.bytes += bytes.length + ENTRY_BYTES + (stored.grownBy === this.number ? 0 : 2 * PAGE_BYTES);
    stored.grownBy = this.number;
    this.size++;
  }

  markEntry(stored: StoredQueue, entry: Entry): void {
    this.#marked.set(entry, stored);
    this.size++;
  }

  removeEntry(stored: StoredQueue, entry: Entry): void {
    this.#marked.delete(entry);
    this.size++;
    if (entry.batch === this.number) {
      this.#gone.add(entry);
      return;
    }
    const key = { queue: stored.number, place: entry.position };
    // The mark first: where they go in pieces, none is left without its message.
    if (stored.marked.delete(entry.position)) this.#removed.push({ ...key, kind: 'marks' });
    this.#removed.push({ ...key, kind: 'entries' });
  }

  /** The entry was removed while this batch was being written. */
  forget(entry: Entry): void {
    this.#gone.add(entry);
  }

  putQueue(stored: StoredQueue, queue: DurableQueue): void {
    this.#queues.set(stored, stored.pack(queue));
    this.size++;
  }

  /** As it is now: a later one goes with its own acks. */
  putCheckpoint(stored: StoredQueue, { checkpoint }: DurableQueue): void {
    if (!checkpoint) return;
    this.#checkpoints.set(stored, checkpoint);
    this.bytes += checkpoint.length + PAGE_BYTES;
    this.size++;
  }

  removeQueue(stored: StoredQueue): void {
    this.emptied.push(stored);
    this.size++;
  }

  putLetter(stored: StoredQueue, letter: Letter): void {
    takeBytes(letter);
    const bytes = packLetter(letter);
    stored.letters.set(letter, stored.nextLetter++);
    this.#letters.set(letter, { stored, bytes });
    this.bytes += bytes.length + PAGE_BYTES;
    this.size++;
  }

  removeLetter(stored: StoredQueue, letter: Letter): void {
    const place = stored.letters.get(letter);
    if (place === undefined) return;
    stored.letters.delete(letter);
    this.size++;
    if (!this.#letters.delete(letter)) this.#removed.push({ queue: stored.number, place, kind: 'letters' });
  }

  /** Removes what a queue that is gone has left behind. */
  sweep(kind: Kind, { queue, place }: PlaceKey): void {
    this.#removed.push({ queue, place, kind });
    this.size++;
  }

  /** Makes all writes but the removals; called once, within a transaction. */
  write({ meta, queues, checkpoints, entries, marks, letters }: Databases): void {
    if (this.newestQueue !== undefined) void meta.put('queues', packNumber(this.newestQueue), 0);
    for (const [stored, record] of this.#queues) {
      if (stored.isGone) continue;
      stored.isWritten = true;
      void queues.put(stored.number, record);
    }
    for (const [stored, checkpoint] of this.#checkpoints)
      if (!stored.isGone) void checkpoints.put(stored.number, packCheckpoint(checkpoint));
    for (const { isWritten, number } of this.emptied) {
      if (!isWritten) continue;
      void queues.remove(number);
      void checkpoints.remove(number);
    }
    const key: PlaceKey = { queue: 0, place: 0 };
    for (const { stored, entry, bytes } of this.#added) {
      if (stored.isGone || this.#gone.has(entry)) continue;
      key.queue = stored.number;
      key.place = entry.position;
      void entries.put(key, bytes);
    }
    for (const [entry, stored] of this.#marked) {
      if (stored.isGone) continue;
      key.queue = stored.number;
      key.place = entry.position;
      if (!stored.isPlain(entry)) {
        stored.marked.add(entry.position);
        void marks.put(key, packMark(entry));
      } else if (stored.marked.delete(entry.position)) void marks.remove(key);
    }
    for (const [letter, { stored, bytes }] of this.#letters) {
      if (stored.isGone) continue;
      void letters.put({ queue: stored.number, place: stored.letters.get(letter)! }, bytes);
    }
  }

  /** Makes some of the removals. */
  remove(databases: Databases, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const removal = this.#removed[at]!;
      void databases[removal.kind].remove(removal);
    }
  }

  /** Once it is safe: what is beyond the limit leaves memory, the newest first, since it is delivered last. */
  leaveMemory(excess: number): void {
    for (const [letter, { stored }] of this.#letters) {
      const place = stored.letters.get(letter);
      if (place !== undefined)
        letter.envelope = new PackedEnvelope(undefined, undefined, stored.letterShelf, place);
    }
    let left = 0;
    for (let at = this.#added.length - 1; at >= 0 && left < excess; at--) {
      const { stored, entry, bytes } = this.#added[at]!;
      if (stored.isGone || this.#gone.has(entry)) continue;
      entry.envelope = new PackedEnvelope(undefined, undefined, stored.entryShelf, entry.position);
      stored.count(-bytes.length);
      left += bytes.length;
    }
  }
}

/** Has the bytes in memory from now on: wherever they are now may be removed by the same batch. */
function takeBytes(holder: { envelope: Envelope }): Uint8Array {
  const { envelope } = holder;
  const bytes = packEnvelope(envelope);
  if (!(envelope instanceof PackedEnvelope) || envelope.bytesInMemory === 0)
    holder.envelope = new PackedEnvelope(undefined, bytes);
  return bytes;
}
