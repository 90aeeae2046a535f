import { Fifo } from '../../model/fifo.js';

/** What a ReadyList orders. */
export interface Positioned {
  readonly position: number;
}

/**
 * The messages of a queue that nobody holds, in the order of their positions. New ones come in rising order at the tail;
 * what is given back was taken from the head, so it is always older than what was never taken.
 */
export class ReadyList<T extends Positioned> {
  readonly #fresh = new Fifo<T>();
  /** The oldest last. */
  #returned: T[] = [];

  get size(): number {
    return this.#fresh.size + this.#returned.length;
  }

  append(item: T): void {
    this.#fresh.push(item);
  }

  /** Puts items back in their places. */
  giveBack(items: readonly T[]): void {
    this.#returned = [...this.#returned, ...items].sort((a, b) => b.position - a.position);
  }

  peek(): T | undefined {
    return this.#returned.at(-1) ?? this.#fresh.peek();
  }

  take(): T | undefined {
    return this.#returned.pop() ?? this.#fresh.shift();
  }
}
