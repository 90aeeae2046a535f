/** What a ReadyList orders. */
export interface Positioned {
  readonly position: number;
}

/**
 * The messages of a queue that nobody holds, in the order of their positions. New ones come in rising order at the tail;
 * what is given back was taken from the head, so it is always older than what was never taken.
 */
export class ReadyList<T extends Positioned> {
  #fresh: (T | undefined)[] = [];
  #head = 0;
  #returned: T[] = [];

  get size(): number {
    return this.#fresh.length - this.#head + this.#returned.length;
  }

  append(item: T): void {
    this.#fresh.push(item);
  }

  /** Puts items back in their places. */
  giveBack(items: readonly T[]): void {
    this.#returned = [...this.#returned, ...items].sort((a, b) => b.position - a.position);
  }

  peek(): T | undefined {
    return this.#returned.at(-1) ?? this.#fresh[this.#head];
  }

  take(): T | undefined {
    if (this.#returned.length > 0) return this.#returned.pop();
    const item = this.#fresh[this.#head];
    if (item === undefined) return undefined;
    this.#fresh[this.#head++] = undefined;
    if (this.#head >= 1024 && this.#head * 2 >= this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
