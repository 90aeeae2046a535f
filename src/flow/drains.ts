import type { Clock, Timer } from '../model/clock.js';

/** For the broker's answers after the deadline: one that gives none holds nobody up. */
const GRACE_MS = 1_000;

/**
 * How long drains may take: the option of the master, until a stop brings its own. What drains by then ends within the new
 * limit as well, if that is sooner.
 */
export class Drains {
  readonly #clock: Clock;
  readonly #running = new Set<Drain>();
  /** The one that began in this turn. */
  #latest: Drain | undefined;
  #timeoutMs: number;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  limit(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs;
    for (const drain of this.#running) drain.endWithin(timeoutMs);
  }

  /** `deadline` resolves when what still runs is to be left behind. Resolves a second after it at the latest. */
  async run(work: (deadline: Promise<void>) => Promise<void>): Promise<void> {
    const drain = (this.#latest ??= this.#begin());
    drain.users += 1;
    try {
      await Promise.race([work(drain.deadline), drain.end]);
    } finally {
      drain.users -= 1;
      if (drain.users === 0) this.#finish(drain);
    }
  }

  /** Whatever begins to drain in the same turn of the event loop shares it: that may be thousands of subscribers. */
  #begin(): Drain {
    const drain = new Drain(this.#clock);
    this.#running.add(drain);
    drain.endWithin(this.#timeoutMs);
    setImmediate(() => {
      if (this.#latest === drain) this.#latest = undefined;
    });
    return drain;
  }

  #finish(drain: Drain): void {
    if (this.#latest === drain) this.#latest = undefined;
    this.#running.delete(drain);
    drain.release();
  }
}

class Drain {
  readonly deadline: Promise<void>;
  readonly end: Promise<void>;
  /** How many share it. */
  users = 0;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #dueAt = Infinity;
  #passDeadline!: () => void;
  #passEnd!: () => void;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.deadline = new Promise((resolve) => (this.#passDeadline = resolve));
    this.end = new Promise((resolve) => (this.#passEnd = resolve));
  }

  endWithin(delayMs: number): void {
    const dueAt = this.#clock.now() + delayMs;
    if (dueAt >= this.#dueAt) return;
    this.#dueAt = dueAt;
    this.release();
    this.#timer = this.#clock.setTimeout(() => {
      this.#passDeadline();
      this.#timer = this.#clock.setTimeout(this.#passEnd, GRACE_MS);
    }, delayMs);
  }

  release(): void {
    this.#clock.clearTimeout(this.#timer);
  }
}
