import { Fifo } from '../model/fifo.js';

export interface MailboxOptions {
  /** Messages held for one subscriber. */
  readonly limit: number;
  readonly onFull: 'drop-oldest' | 'drop-newest';
}

/** A bounded first-in first-out store that counts what it had to drop. */
export class Mailbox<T> {
  readonly #options: MailboxOptions;
  readonly #items = new Fifo<T>();
  #dropped = 0;

  constructor(options: MailboxOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#items.size;
  }

  /** Dropped since this was last asked with `takeDropped`. */
  get dropped(): number {
    return this.#dropped;
  }

  /** There is room again for as many as wait. */
  get isAtMostHalfFull(): boolean {
    return this.#items.size * 2 <= this.#options.limit;
  }

  put(item: T): void {
    if (this.#items.size >= this.#options.limit) {
      this.#dropped++;
      if (this.#options.onFull === 'drop-newest') return;
      this.#items.shift();
    }
    this.#items.push(item);
  }

  take(): T | undefined {
    return this.#items.shift();
  }

  /** How many were dropped since this was last asked. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** So many were dropped before they came here. */
  addDropped(count: number): void {
    this.#dropped += count;
  }

  clear(): void {
    this.#items.clear();
  }
}
