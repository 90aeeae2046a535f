import type { Envelope } from '../../model/message.js';
import { TurnoverMap } from '../../model/turnover-map.js';
import type { Entry, Letter } from '../hub/queue-parts.js';
import { Subject, type ChangeSink } from './change-list.js';
import { PAGE_BYTES, type Databases, type Kind, type PlaceKey } from './databases.js';
import { PackedEnvelope, packEnvelope } from './packed-envelope.js';
import type { StoredQueue } from './stored-queue.js';

/** What a record takes on a page beside its bytes, at most. */
const ENTRY_BYTES = 64;

/** A message, as the hub holds it, or as it is kept when the hub has let go of it. */
interface Holder {
  envelope: Envelope;
}

interface LetterChange {
  readonly letter: Letter | undefined;
  readonly bytes: Uint8Array;
}

/** Of each place: what is to be put there, or undefined where it is to be emptied. */
class QueueChanges {
  stored: StoredQueue | undefined;
  record: Uint8Array | undefined;
  checkpoint: Uint8Array | undefined;
  isGone = false;
  readonly entries = new TurnoverMap<number, Holder | undefined>();
  readonly marks = new Map<number, Uint8Array | undefined>();
  readonly letters = new Map<number, LetterChange | undefined>();
}

/**
 * What the table is to take at once: of each place the last that was said of it. A message that came and went meanwhile
 * leaves nothing.
 */
export class TableChanges implements ChangeSink {
  /** Of what is added, and of the pages where it is. */
  bytes = 0;
  isEmpty = true;
  readonly #queues = new Map<number, QueueChanges>();
  #newestQueue: Uint8Array | undefined;
  #removed: (PlaceKey & { readonly kind: Kind })[] = [];

  /** What is said of a queue of the hub; without it, of one that is only known from the log. */
  of(number: number, stored?: StoredQueue): QueueChanges {
    this.isEmpty = false;
    let queue = this.#queues.get(number);
    if (!queue) {
      this.#queues.set(number, (queue = new QueueChanges()));
      queue.stored = stored;
      this.bytes += 2 * PAGE_BYTES;
    }
    return queue;
  }

  addEntry(stored: StoredQueue, entry: Entry, bytes: number): void {
    this.of(stored.number, stored).entries.set(entry.position, entry);
    this.bytes += bytes + ENTRY_BYTES;
  }

  /** Says whether the table has it, or is about to. */
  removeEntry(stored: StoredQueue, { position, envelope }: Entry): boolean {
    const queue = this.of(stored.number, stored);
    this.removeMark(stored, position);
    if (queue.entries.delete(position)) {
      this.bytes -= packEnvelope(envelope).length + ENTRY_BYTES;
      return false;
    }
    queue.entries.set(position, undefined);
    return true;
  }

  /** Says whether there was one. */
  removeMark(stored: StoredQueue, position: number): boolean {
    const { marks } = this.of(stored.number, stored);
    if (!stored.marked.has(position)) return marks.delete(position);
    marks.set(position, undefined);
    return true;
  }

  putLetter(stored: StoredQueue, place: number, change: LetterChange): void {
    this.of(stored.number, stored).letters.set(place, change);
    this.bytes += change.bytes.length + PAGE_BYTES;
  }

  removeLetter(stored: StoredQueue, place: number): void {
    const { letters } = this.of(stored.number, stored);
    if (!letters.delete(place)) letters.set(place, undefined);
  }

  /** The hub lets go of an entry that is on its way to the table: what is written stays as it was. */
  detach(stored: StoredQueue, entry: Entry): void {
    const entries = this.#queues.get(stored.number)?.entries;
    if (entries?.get(entry.position) === entry) entries.set(entry.position, { envelope: entry.envelope });
  }

  put(subject: Subject, number: number, place: number, bytes: Uint8Array, stored?: StoredQueue): void {
    this.isEmpty = false;
    this.bytes += bytes.length + ENTRY_BYTES;
    if (subject === Subject.newestQueue) {
      this.#newestQueue = bytes;
      return;
    }
    const queue = this.of(number, stored);
    if (subject === Subject.queue) queue.record = bytes;
    else if (subject === Subject.checkpoint) queue.checkpoint = bytes;
    else if (subject === Subject.mark) queue.marks.set(place, bytes);
    else if (subject === Subject.letter) queue.letters.set(place, { letter: undefined, bytes });
    else queue.entries.set(place, { envelope: new PackedEnvelope(undefined, bytes) });
  }

  remove(subject: Subject, number: number, place: number): void {
    const queue = this.of(number);
    if (subject === Subject.queue) this.removeQueue(number);
    else if (subject === Subject.letter) queue.letters.set(place, undefined);
    else if (subject === Subject.mark) queue.marks.set(place, undefined);
    else {
      queue.marks.set(place, undefined);
      queue.entries.set(place, undefined);
    }
  }

  /** What it held and the table has is swept later. Of one that the table has never seen nothing is left. */
  removeQueue(number: number, stored?: StoredQueue): void {
    if (stored?.isWritten === false) {
      this.#queues.delete(number);
      return;
    }
    const queue = this.of(number, stored);
    queue.isGone = true;
    queue.record = undefined;
    queue.checkpoint = undefined;
    for (const places of [queue.entries, queue.marks, queue.letters]) places.clear();
  }

  /** Removes what a queue that is gone has left behind. */
  sweep(kind: Kind, { queue, place }: PlaceKey): void {
    this.isEmpty = false;
    this.#removed.push({ queue, place, kind });
  }

  /** Nothing is added any more: counts what is to be removed, and tells each queue what the table has of it from now on. */
  seal(): void {
    for (const [number, queue] of this.#queues) {
      const { stored, marks } = queue;
      if (stored) {
        if (queue.record) stored.isWritten = true;
        for (const [place, mark] of marks) {
          if (mark) stored.marked.add(place);
          else stored.marked.delete(place);
        }
      }
      // The mark first: where they go in pieces, none is left without its message.
      for (const kind of ['marks', 'entries', 'letters'] as const)
        for (const [place, value] of queue[kind].entries())
          if (!value) this.#removed.push({ queue: number, place, kind });
    }
  }

  /** How many records it removes. Once it is sealed. */
  get removals(): number {
    return this.#removed.length;
  }

  /** The queues that are gone. */
  get emptied(): number[] {
    return [...this.#queues].flatMap(([number, { isGone }]) => (isGone ? number : []));
  }

  /** Makes all writes but the removals; called within a transaction. */
  write({ meta, queues, checkpoints, entries, marks, letters }: Databases): void {
    if (this.#newestQueue) void meta.put('queues', this.#newestQueue, 0);
    const key: PlaceKey = { queue: 0, place: 0 };
    for (const [number, queue] of this.#queues) {
      if (queue.isGone) {
        void queues.remove(number);
        void checkpoints.remove(number);
        continue;
      }
      if (queue.record) void queues.put(number, queue.record);
      if (queue.checkpoint) void checkpoints.put(number, queue.checkpoint);
      key.queue = number;
      for (const [place, holder] of queue.entries.entries()) {
        if (!holder) continue;
        key.place = place;
        void entries.put(key, packEnvelope(holder.envelope));
      }
      for (const [place, mark] of queue.marks) {
        if (!mark) continue;
        key.place = place;
        void marks.put(key, mark);
      }
      for (const [place, change] of queue.letters) {
        if (!change) continue;
        key.place = place;
        void letters.put(key, change.bytes);
      }
    }
  }

  /** Makes some of the removals. */
  removeSome(databases: Databases, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const removal = this.#removed[at]!;
      void databases[removal.kind].remove(removal);
    }
  }

  /** Once the table has it: what is beyond the limit leaves memory, the newest first, since it is delivered last. */
  leaveMemory(excess: number): void {
    let left = 0;
    for (const { stored, entries, letters } of this.#queues.values()) {
      if (!stored || stored.isGone) continue;
      for (const [place, change] of letters)
        if (change?.letter && stored.letters.has(change.letter))
          change.letter.envelope = new PackedEnvelope(undefined, undefined, stored.letterShelf, place);
      if (left >= excess) continue;
      for (const [place, holder] of [...entries.entries()].reverse()) {
        if (left >= excess) break;
        // One that was let go is no entry any more.
        if (!holder || !('position' in holder)) continue;
        const bytes = packEnvelope(holder.envelope).length;
        holder.envelope = new PackedEnvelope(undefined, undefined, stored.entryShelf, place);
        stored.count(-bytes);
        left += bytes;
      }
    }
  }
}
