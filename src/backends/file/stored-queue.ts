import { DecodeError } from '../../model/errors.js';
import type { DurableQueue } from '../hub/durable-queue.js';
import type { Entry, KeptQueue, Letter } from '../hub/queue-parts.js';
import type { Databases, Kind, PlaceKey, Places } from './databases.js';
import { PackedEnvelope, type Shelf } from './packed-envelope.js';
import {
  packQueue,
  unpackCheckpoint,
  unpackLetter,
  unpackMark,
  type Mark,
  type QueueRecord,
} from './records.js';

/** So many keys are read at once. */
const KEYS_AT_ONCE = 4096;

/** How many bytes of messages are in memory, over all queues. */
export interface MessageMemory {
  bytes: number;
}

/** One queue in the store: its number there, and what has been written of it. */
export class StoredQueue {
  /** Positions whose mark the table has, or is about to. */
  readonly marked = new Set<number>();
  /** The numbers of its dead letters. */
  readonly letters = new Map<Letter, number>();
  readonly entryShelf: Shelf;
  readonly letterShelf: Shelf;
  nextLetter = 1;
  /** The table has its record, or is about to. */
  isWritten = false;
  isGone = false;
  #bytes = 0;

  constructor(
    readonly databases: Databases,
    readonly namespace: string,
    readonly number: number,
    readonly flaggedBefore: number,
    readonly memory: MessageMemory,
  ) {
    this.entryShelf = { read: (place) => this.#read('entries', place) };
    this.letterShelf = { read: (place) => unpackLetter(this.#read('letters', place)).bytes };
  }

  #read(kind: Kind, place: number): Uint8Array {
    const bytes = this.databases[kind].getBinary({ queue: this.number, place });
    if (bytes) return bytes;
    throw new DecodeError('The message was removed from its queue before it was read.');
  }

  /** That many bytes of its messages are in memory, or are no longer if negative. */
  count(bytes: number): void {
    this.#bytes += bytes;
    this.memory.bytes += bytes;
  }

  /** The queue is gone. */
  end(): void {
    this.isGone = true;
    this.count(-this.#bytes);
  }

  /** Whether the entry is as a fresh one: then it needs no mark. */
  isPlain({ position, attempts, redelivered, redrives }: Entry): boolean {
    return attempts === 0 && redrives === 0 && redelivered === position < this.flaggedBefore;
  }

  pack({ id, spec, bindings, epoch }: DurableQueue): Uint8Array {
    const { namespace, flaggedBefore } = this;
    return packQueue({ namespace, id, spec, bindings: [...bindings], epoch, flaggedBefore });
  }

  /** Reads what it held. Bodies stay where they are. */
  restore({ id, spec, bindings, epoch }: QueueRecord): KeptQueue {
    this.isWritten = true;
    const checkpoint = this.databases.checkpoints.getBinary(this.number);
    return {
      ...{ id, spec, bindings, epoch },
      checkpoint: checkpoint && unpackCheckpoint(checkpoint),
      entries: this.#entries(),
      letters: this.#letters(),
    };
  }

  *#entries(): KeptQueue['entries'] {
    const marks = this.#marks();
    for (const { place: position } of this.#keys(this.databases.entries)) {
      const mark = marks.get(position);
      if (mark) this.marked.add(position);
      // Written out: there may be millions, and a spread costs microseconds.
      yield {
        position,
        envelope: new PackedEnvelope(undefined, undefined, this.entryShelf, position),
        redrives: mark?.redrives ?? 0,
        attempts: mark?.attempts ?? 0,
        redelivered: position < this.flaggedBefore || (mark?.redelivered ?? false),
      };
    }
  }

  #marks(): Map<number, Mark> {
    const marks = new Map<number, Mark>();
    for (const { place, queue } of this.#keys(this.databases.marks))
      marks.set(place, unpackMark(this.databases.marks.getBinary({ queue, place })!));
    return marks;
  }

  #letters(): Letter[] {
    const letters: Letter[] = [];
    for (const key of this.#keys(this.databases.letters)) {
      const { letter } = unpackLetter(this.databases.letters.getBinary(key)!);
      const envelope = new PackedEnvelope(undefined, undefined, this.letterShelf, key.place);
      const kept = { ...letter, envelope };
      letters.push(kept);
      this.letters.set(kept, key.place);
      this.nextLetter = key.place + 1;
    }
    return letters;
  }

  /** In bounded pieces: a cursor that stops between two turns would pin the pages that it has seen. */
  *#keys(places: Places): Iterable<PlaceKey> {
    let from = 0;
    for (;;) {
      const keys = keysFrom(places, { queue: this.number, place: from }, KEYS_AT_ONCE);
      yield* keys;
      if (keys.length < KEYS_AT_ONCE) return;
      from = keys.at(-1)!.place + 1;
    }
  }
}

/** Keys of one queue, at most `limit`, from a place on. */
export function keysFrom(places: Places, start: PlaceKey, limit: number): PlaceKey[] {
  return [...places.getKeys({ start, end: { queue: start.queue + 1, place: 0 }, limit })];
}

/** The position of a queue's newest entry. */
export function lastPlace({ entries }: Databases, queue: number): number {
  const start = { queue, place: Number.MAX_SAFE_INTEGER };
  for (const { place } of entries.getKeys({ start, end: { queue, place: 0 }, limit: 1, reverse: true }))
    return place;
  return 0;
}
