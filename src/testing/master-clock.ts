import type { Clock, Timer } from '../model/clock.js';

/** The clock of one master: while that is frozen its timers do not fire; what was due meanwhile fires when it thaws. */
export class MasterClock implements Clock {
  readonly #clock: Clock;
  /** What was due while it was frozen, in order. */
  #overdue: Map<object, () => void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly now = (): number => this.#clock.now();
  readonly wall = (): number => this.#clock.wall();

  readonly setTimeout = (callback: () => void, delayMs: number): Timer => {
    const timer: { inner?: Timer } = {};
    timer.inner = this.#clock.setTimeout(() => {
      if (this.#overdue) this.#overdue.set(timer, callback);
      else callback();
    }, delayMs);
    return timer;
  };

  readonly clearTimeout = (timer: Timer | undefined): void => {
    if (typeof timer !== 'object') return;
    this.#overdue?.delete(timer);
    this.#clock.clearTimeout((timer as { inner?: Timer }).inner);
  };

  freeze(): void {
    this.#overdue ??= new Map();
  }

  thaw(): void {
    const overdue = this.#overdue;
    this.#overdue = undefined;
    for (const [timer, callback] of overdue ?? []) {
      // One of them may clear another.
      overdue!.delete(timer);
      callback();
    }
  }
}
