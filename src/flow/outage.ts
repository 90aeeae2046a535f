import type { Clock } from '../model/clock.js';
import type { Mailbox } from './mailbox.js';

/** One that lasts is told of once in so long. */
const LASTING_MS = 1_000;

/**
 * The time in which a mailbox is full for whoever reads it, and all that it drops then: told once, with the number, when it is at
 * most half full again; every second while it lasts.
 */
export class Outage {
  readonly #clock: Clock;
  readonly #mailbox: Mailbox<unknown>;
  readonly #overflowed: (missed: number) => void;
  /** When it was noticed. */
  #since: number | undefined;

  constructor(clock: Clock, mailbox: Mailbox<unknown>, overflowed: (missed: number) => void) {
    this.#clock = clock;
    this.#mailbox = mailbox;
    this.#overflowed = overflowed;
  }

  /** To be called whenever the mailbox is read. */
  look(): void {
    if (this.#mailbox.dropped === 0) return;
    const now = this.#clock.now();
    this.#since ??= now;
    if (this.#mailbox.isAtMostHalfFull || now - this.#since >= LASTING_MS) this.end();
  }

  /** Nobody will read any more: what was dropped is told. */
  end(): void {
    this.#since = undefined;
    const missed = this.#mailbox.takeDropped();
    if (missed > 0) this.#overflowed(missed);
  }
}
