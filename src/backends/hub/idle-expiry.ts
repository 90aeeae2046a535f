import type { Clock, Timer } from '../../model/clock.js';

/** Node's timers hold 31 bits. */
const TIMER_MAX_MS = 2_147_483_647;

/** Tells when something was idle for so long without a break. */
export class IdleExpiry {
  #idleSince = 0;
  #timer: Timer | undefined;

  constructor(
    readonly clock: Clock,
    readonly expiresMs: number,
    readonly expired: () => void,
  ) {}

  /** Something has happened: the time begins anew, if it is idle now. */
  look(isIdle: boolean): void {
    this.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!isIdle) return;
    this.#idleSince = this.clock.now();
    this.#await();
  }

  #await(): void {
    const leftMs = this.#idleSince + this.expiresMs - this.clock.now();
    if (leftMs <= 0) this.expired();
    else this.#timer = this.clock.setTimeout(() => this.#await(), Math.min(leftMs, TIMER_MAX_MS));
  }
}
