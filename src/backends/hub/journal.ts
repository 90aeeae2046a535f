import type { DurableQueue } from './durable-queue.js';
import type { Entry, Letter } from './queue-parts.js';

/**
 * Where the hub writes down what must survive it. Calls describe what has just changed in memory. Writes are grouped into
 * batches: what was put in `batch` is safe once `safeBatch` has reached it. Confirms and deliveries wait for that.
 */
export interface Journal {
  /** The batch that is being gathered. */
  readonly batch: number;
  /** Every batch up to this one is safe. */
  readonly safeBatch: number;
  /** Why nothing more may be stored for now. Acks, deletions and hand-overs go on. */
  readonly refusal: Error | undefined;
  /** The queue's settings, bindings or epoch changed, or it is new. */
  putQueue(queue: DurableQueue): void;
  putCheckpoint(queue: DurableQueue): void;
  /** With everything that it holds. */
  removeQueue(queue: DurableQueue): void;
  addEntry(queue: DurableQueue, entry: Entry): void;
  /** Its attempts or its flag changed. */
  markEntry(queue: DurableQueue, entry: Entry): void;
  removeEntry(queue: DurableQueue, entry: Entry): void;
  putLetter(queue: DurableQueue, letter: Letter): void;
  removeLetter(queue: DurableQueue, letter: Letter): void;
  /** Calls back once everything put so far is safe; at once if it is. */
  afterFlush(callback: () => void): void;
}

/** Nothing outlives the process: everything is as safe as it gets at once. */
export const noJournal: Journal = {
  batch: 0,
  safeBatch: 0,
  refusal: undefined,
  putQueue() {},
  putCheckpoint() {},
  removeQueue() {},
  addEntry() {},
  markEntry() {},
  removeEntry() {},
  putLetter() {},
  removeLetter() {},
  afterFlush: (callback) => callback(),
};
