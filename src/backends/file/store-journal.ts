import type { DurableQueue, Entry, Letter } from '../hub/durable-queue.js';
import type { Journal } from '../hub/journal.js';
import type { GroupCommit } from './group-commit.js';
import { PackedEnvelope } from './packed-envelope.js';
import type { StoredQueue } from './stored-queue.js';

export interface JournalPorts {
  readonly commit: GroupCommit;
  readonly refusal: () => Error | undefined;
  /** A place for a new queue. */
  readonly create: () => StoredQueue;
}

/** The journal of one namespace: passes on to the batch that is gathered, by the number that a queue has in the store. */
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
    this.#commit.gathered.putQueue(stored, queue);
    this.#commit.wake();
  }

  putCheckpoint(queue: DurableQueue): void {
    this.#commit.gathered.putCheckpoint(this.#stored(queue), queue);
    this.#commit.wake();
  }

  removeQueue(queue: DurableQueue): void {
    const stored = this.#stored(queue);
    stored.end();
    this.#queues.delete(queue);
    this.#commit.gathered.removeQueue(stored);
    this.#commit.wake();
  }

  addEntry(queue: DurableQueue, entry: Entry): void {
    this.#commit.gathered.addEntry(this.#stored(queue), entry);
    this.#commit.wake();
  }

  markEntry(queue: DurableQueue, entry: Entry): void {
    this.#commit.gathered.markEntry(this.#stored(queue), entry);
    this.#commit.wake();
  }

  removeEntry(queue: DurableQueue, entry: Entry): void {
    const stored = this.#stored(queue);
    const { gathered, inFlight } = this.#commit;
    if (entry.envelope instanceof PackedEnvelope) stored.count(-entry.envelope.bytesInMemory);
    if (entry.batch === inFlight?.number) inFlight.forget(entry);
    gathered.removeEntry(stored, entry);
    this.#commit.wake();
  }

  putLetter(queue: DurableQueue, letter: Letter): void {
    this.#commit.gathered.putLetter(this.#stored(queue), letter);
    this.#commit.wake();
  }

  removeLetter(queue: DurableQueue, letter: Letter): void {
    this.#commit.gathered.removeLetter(this.#stored(queue), letter);
    this.#commit.wake();
  }

  afterFlush(callback: () => void): void {
    this.#commit.afterFlush(callback);
  }

  #stored(queue: DurableQueue): StoredQueue {
    return this.#queues.get(queue)!;
  }
}
