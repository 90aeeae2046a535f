import type { DurableQueue, Entry, Letter } from './durable-queue.js';

/**
 * Where the hub writes down what must survive it. Calls describe what has just changed in memory; `afterFlush` runs its
 * callback once everything written before it is safe. Confirms and deliveries wait for that.
 */
export interface Journal {
  /** The queue's settings, bindings, epoch or checkpoint changed, or it is new. */
  putQueue(queue: DurableQueue): void;
  removeQueue(queue: DurableQueue): void;
  /** New, or its attempts or flag changed. */
  putEntry(queue: DurableQueue, entry: Entry): void;
  removeEntry(queue: DurableQueue, entry: Entry): void;
  putLetter(queue: DurableQueue, letter: Letter): void;
  removeLetter(queue: DurableQueue, letter: Letter): void;
  afterFlush(callback: () => void): void;
}

/** Nothing outlives the process: everything is as safe as it gets at once. */
export const noJournal: Journal = {
  putQueue() {},
  removeQueue() {},
  putEntry() {},
  removeEntry() {},
  putLetter() {},
  removeLetter() {},
  afterFlush: (callback) => callback(),
};
