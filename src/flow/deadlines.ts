import type { Clock, Timer } from '../model/clock.js';

/** Something with a deadline. The time is `Deadlines`' own affair. */
export interface Dated {
  dueAt: number;
}

/**
 * Things that have a deadline, on one timer, in the order in which they came. Adding and deleting cost a set entry: the
 * timer is set and cleared at most once a turn of the event loop, so what ends in the turn in which it began sets none.
 * An item is due at its time or `graceMs` later.
 */
export class Deadlines<T extends Dated> {
  readonly #items = new Set<T>();
  readonly #clock: Clock;
  readonly #due: (item: T) => void;
  readonly #graceMs: number;
  #looking = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;

  constructor(options: { clock: Clock; graceMs: number; due: (item: T) => void }) {
    this.#clock = options.clock;
    this.#graceMs = options.graceMs;
    this.#due = options.due;
  }

  get size(): number {
    return this.#items.size;
  }

  has(item: T): boolean {
    return this.#items.has(item);
  }

  /** Adds it, or moves its deadline. */
  add(item: T, delayMs: number): void {
    item.dueAt = this.#clock.now() + delayMs;
    this.#items.add(item);
    if (item.dueAt + this.#graceMs < this.#timerAt) this.#lookLater();
  }

  delete(item: T): void {
    if (this.#items.delete(item) && this.#items.size === 0 && this.#timerAt < Infinity) this.#lookLater();
  }

  clear(): void {
    this.#items.clear();
    this.#setTimer(Infinity);
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items.values();
  }

  #lookLater(): void {
    if (this.#looking) return;
    this.#looking = true;
    setImmediate(this.#look);
  }

  readonly #look = (): void => {
    this.#looking = false;
    const now = this.#clock.now();
    let next = Infinity;
    const due: T[] = [];
    for (const item of this.#items) {
      if (item.dueAt <= now) due.push(item);
      else if (item.dueAt < next) next = item.dueAt;
    }
    this.#setTimer(next + this.#graceMs);
    for (const item of due) if (this.#items.delete(item)) this.#due(item);
  };

  #setTimer(at: number): void {
    if (at === this.#timerAt) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === Infinity) return;
    this.#timer = this.#clock.setTimeout(
      () => {
        this.#timerAt = Infinity;
        this.#look();
      },
      Math.max(1, at - this.#clock.now()),
    );
  }
}
