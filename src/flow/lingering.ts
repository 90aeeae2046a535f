import type { Clock } from '../model/clock.js';
import type { OpenNumbersTracker } from '../model/open-numbers.js';
import { Deadlines } from './deadlines.js';
import type { Outgoing } from './outgoing.js';

/**
 * Messages for which nobody waits any more and whose numbers stay open: a copy may still be under way, or be asked for. At
 * most so many: the oldest is closed to make room.
 */
export class Lingering {
  readonly #numbers: OpenNumbersTracker;
  readonly #max: number;
  readonly #messages: Deadlines<Outgoing>;

  constructor(options: { clock: Clock; numbers: OpenNumbersTracker; max: number }) {
    this.#numbers = options.numbers;
    this.#max = options.max;
    this.#messages = new Deadlines({
      clock: options.clock,
      graceMs: 1_000,
      due: (message) => this.close(message),
    });
  }

  keep(message: Outgoing, forMs: number): void {
    this.#messages.add(message, forMs);
    if (this.#messages.size > this.#max) this.close(this.#messages.first!);
  }

  /** Takes it out with its number open; false if its number is closed or somebody took it before. */
  take(message: Outgoing): boolean {
    return this.#messages.delete(message);
  }

  /** No copy of it can come any more. */
  close(message: Outgoing): void {
    this.#messages.delete(message);
    this.#numbers.close(message.sequence);
  }

  clear(): void {
    this.#messages.clear();
  }
}
