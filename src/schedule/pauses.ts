import type { Clock, Timer } from '../model/clock.js';

/** Waits of one run: at its end all of them end, and nothing is left of them. */
export class Pauses {
  readonly #clock: Clock;
  readonly #open = new Map<() => void, Timer>();
  #hasEnded = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wait(ms: number): Promise<void> {
    if (this.#hasEnded) return Promise.resolve();
    return new Promise((resolve) => {
      const over = () => {
        this.#open.delete(over);
        resolve();
      };
      this.#open.set(over, this.#clock.setTimeout(over, ms));
    });
  }

  end(): void {
    this.#hasEnded = true;
    for (const [over, timer] of this.#open) {
      this.#clock.clearTimeout(timer);
      over();
    }
  }
}
