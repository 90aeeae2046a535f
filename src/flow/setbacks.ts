import type { Delivery, FailedAttempt } from '../backend.js';

/** What is known of a message whose attempts have not ended well. */
export interface Setback {
  /** When the next attempt is due, on the monotonic clock; 0: at once. */
  readonly dueAt: number;
  /** Handler calls known to have begun by the time it was given back: this process has outlived them. */
  readonly begun: number;
  readonly history: readonly FailedAttempt[];
}

/** What a master keeps of messages that it gives back unsettled: they may come again to it. Of at most so many, the latest. */
export class Setbacks {
  readonly #kept = new Map<string, Setback>();

  constructor(readonly limit: number) {}

  keep(delivery: Delivery, setback: Setback): void {
    const key = keyOf(delivery);
    this.#kept.delete(key);
    this.#kept.set(key, setback);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.limit) return;
      this.#kept.delete(oldest);
    }
  }

  take(delivery: Delivery): Setback | undefined {
    const key = keyOf(delivery);
    const setback = this.#kept.get(key);
    this.#kept.delete(key);
    return setback;
  }
}

function keyOf({ envelope, redrives }: Delivery): string {
  return `${envelope.id}/${redrives}`;
}
