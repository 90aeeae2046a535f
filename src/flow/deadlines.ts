import type { Clock, Timer } from '../model/clock.js';

/** Something with a deadline: in one `Deadlines` at a time, which alone uses these fields. */
export interface Dated {
  /** When it is due; until the end of the turn in which it was added, after what delay. */
  dueAt: number;
  deadlines: object | undefined;
  /** Its neighbours. */
  earlier: this | undefined;
  later: this | undefined;
}

/**
 * Things that have a deadline, on one timer, in the order in which they came. An item is due after its delay, counted from
 * the end of the turn of the event loop in which it was added, or `graceMs` later.
 *
 * Made for messages, most of which end soon: the items are a chain, so that adding and deleting write a few fields, and
 * only at the end of a turn the clock is read and the timer set, for what is left.
 */
export class Deadlines<T extends Dated> {
  readonly #clock: Clock;
  readonly #due: (item: T) => void;
  readonly #graceMs: number;
  #first: T | undefined;
  #last: T | undefined;
  /** The first of those that were added in this turn. */
  #fresh: T | undefined;
  #size = 0;
  #turnEnds = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;

  constructor(options: { clock: Clock; graceMs: number; due: (item: T) => void }) {
    this.#clock = options.clock;
    this.#graceMs = options.graceMs;
    this.#due = options.due;
  }

  get size(): number {
    return this.#size;
  }

  /** The one that came first. */
  get first(): T | undefined {
    return this.#first;
  }

  /** Adds it, or moves its deadline. */
  add(item: T, delayMs: number): void {
    if (item.deadlines === this) this.#remove(item);
    item.dueAt = delayMs;
    this.#append(item);
    this.#awaitEndOfTurn();
  }

  /** False if it is not there. */
  delete(item: T): boolean {
    if (item.deadlines !== this) return false;
    this.#remove(item);
    if (this.#size === 0 && this.#timerAt < Infinity) this.#awaitEndOfTurn();
    return true;
  }

  clear(): void {
    for (const item of this.items()) this.#remove(item);
    this.#setTimer(Infinity);
  }

  /** In the order in which they came. */
  items(): T[] {
    const items: T[] = [];
    for (let item = this.#first; item !== undefined; item = item.later) items.push(item);
    return items;
  }

  #append(item: T): void {
    const last = this.#last;
    item.deadlines = this;
    item.earlier = last;
    if (last) last.later = item;
    else this.#first = item;
    this.#last = item;
    this.#fresh ??= item;
    this.#size += 1;
  }

  #remove(item: T): void {
    const { earlier, later } = item;
    if (earlier) earlier.later = later;
    else this.#first = later;
    if (later) later.earlier = earlier;
    else this.#last = earlier;
    if (this.#fresh === item) this.#fresh = later;
    // Otherwise what is gone would keep alive what came after it and is gone too.
    item.deadlines = item.earlier = item.later = undefined;
    this.#size -= 1;
  }

  #awaitEndOfTurn(): void {
    if (this.#turnEnds) return;
    this.#turnEnds = true;
    setImmediate(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#turnEnds = false;
    if (this.#size === 0) return this.#setTimer(Infinity);
    if (!this.#fresh) return;
    const now = this.#clock.now();
    let next = Infinity;
    for (let item: T | undefined = this.#fresh; item !== undefined; item = item.later) {
      item.dueAt += now;
      if (item.dueAt < next) next = item.dueAt;
    }
    this.#fresh = undefined;
    if (next + this.#graceMs < this.#timerAt) this.#setTimer(next + this.#graceMs);
  };

  readonly #ring = (): void => {
    this.#timerAt = Infinity;
    const now = this.#clock.now();
    let next = Infinity;
    const due: T[] = [];
    for (let item = this.#first; item !== this.#fresh; item = item!.later) {
      if (item!.dueAt <= now) due.push(item!);
      else if (item!.dueAt < next) next = item!.dueAt;
    }
    this.#setTimer(next + this.#graceMs);
    for (const item of due) if (this.delete(item)) this.#due(item);
  };

  #setTimer(at: number): void {
    if (at === this.#timerAt) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === Infinity) return;
    this.#timer = this.#clock.setTimeout(this.#ring, Math.max(1, at - this.#clock.now()));
  }
}
