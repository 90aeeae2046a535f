/** Something that is in one bag at a time, which alone uses this field. */
export interface Bagged {
  place: number;
}

/**
 * Things in no order. As a Set, and without what a Set costs whose items come and go with each message: see
 * `turnover-map.ts`.
 */
export class Bag<T extends Bagged> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  has(item: T): boolean {
    return this.#items[item.place] === item;
  }

  add(item: T): void {
    if (this.has(item)) return;
    item.place = this.#items.length;
    this.#items.push(item);
  }

  delete(item: T): boolean {
    if (!this.has(item)) return false;
    const last = this.#items.pop()!;
    if (last === item) return true;
    last.place = item.place;
    this.#items[item.place] = last;
    return true;
  }

  clear(): void {
    this.#items.length = 0;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items.values();
  }
}
