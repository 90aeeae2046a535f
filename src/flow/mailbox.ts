export interface MailboxOptions {
  /** Messages held for one subscriber. */
  readonly limit: number;
  readonly onFull: 'drop-oldest' | 'drop-newest';
}

/** A bounded first-in first-out store that counts what it had to drop. Empty, it holds no memory to speak of. */
export class Mailbox<T> {
  readonly #options: MailboxOptions;
  #items: (T | undefined)[] = [];
  #head = 0;
  #dropped = 0;

  constructor(options: MailboxOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  put(item: T): void {
    if (this.size >= this.#options.limit) {
      this.#dropped++;
      if (this.#options.onFull === 'drop-newest') return;
      this.take();
    }
    this.#items.push(item);
  }

  take(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head >= 256 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** How many were dropped since this was last asked. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }
}
