import type { Clock, Timer } from '../model/clock.js';

/**
 * Many deadlines on one timer. Adding and deleting cost a map entry: the timer is set and cleared at most once a turn of
 * the event loop, so what ends in the turn in which it began sets none. An item is due at its time or `graceMs` later.
 */
export class Deadlines<T> {
  readonly #at = new Map<T, number>();
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

  has(item: T): boolean {
    return this.#at.has(item);
  }

  add(item: T, delayMs: number): void {
    const at = this.#clock.now() + delayMs;
    this.#at.set(item, at);
    if (at + this.#graceMs < this.#timerAt) this.#lookLater();
  }

  delete(item: T): void {
    if (this.#at.delete(item) && this.#at.size === 0 && this.#timerAt < Infinity) this.#lookLater();
  }

  clear(): void {
    this.#at.clear();
    this.#setTimer(Infinity);
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
    for (const [item, at] of this.#at) {
      if (at <= now) due.push(item);
      else if (at < next) next = at;
    }
    this.#setTimer(next + this.#graceMs);
    for (const item of due) if (this.#at.delete(item)) this.#due(item);
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
