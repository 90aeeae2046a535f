import type { Clock } from '../../src/model/clock.js';

interface Pending {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/** Time that only `advance` moves. Timers run one by one in the order of their due times, and see that time. */
export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  /** A binary heap. */
  readonly #heap: Pending[] = [];
  #pending = 0;

  now = (): number => this.#now;
  wall = (): number => this.#now;

  /** Timers that are neither due nor cleared. */
  get pending(): number {
    return this.#pending;
  }

  setTimeout = (callback: () => void, delayMs: number): Pending => {
    const timer = { due: this.#now + Math.max(0, delayMs), order: this.#order++, callback, cancelled: false };
    this.#pending += 1;
    this.#heap.push(timer);
    let at = this.#heap.length - 1;
    while (at > 0 && this.#isBefore(at, (at - 1) >> 1)) at = this.#swap(at, (at - 1) >> 1);
    return timer;
  };

  clearTimeout = (timer: unknown): void => {
    const pending = timer as Pending;
    if (!pending.cancelled) this.#pending -= 1;
    pending.cancelled = true;
  };

  /** Runs what falls due on the way, also timers made on the way. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#heap[0]; next && next.due <= end; next = this.#heap[0]) {
      this.#pop();
      if (next.cancelled) continue;
      this.#now = next.due;
      this.clearTimeout(next);
      next.callback();
    }
    this.#now = end;
  }

  #pop(): void {
    const last = this.#heap.pop()!;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let at = 0; ;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const first = right < this.#heap.length && this.#isBefore(right, left) ? right : left;
      if (first >= this.#heap.length || !this.#isBefore(first, at)) return;
      at = this.#swap(at, first);
    }
  }

  #isBefore(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one]!, this.#heap[other]!];
    return a.due < b.due || (a.due === b.due && a.order < b.order);
  }

  #swap(from: number, to: number): number {
    [this.#heap[from], this.#heap[to]] = [this.#heap[to]!, this.#heap[from]!];
    return to;
  }
}
