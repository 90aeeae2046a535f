export interface RestartLimits {
  /** Restarts allowed within any `periodMs`. */
  readonly intensity: number;
  readonly periodMs: number;
}

export interface Backoff {
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
}

/** The restarts of the last `periodMs`. It slides: what is older than that no longer counts. */
export class RestartWindow {
  readonly #limits: RestartLimits;
  #times: number[] = [];

  constructor(limits: RestartLimits) {
    this.#limits = limits;
  }

  /** Counts a restart at `now`; false if it is one more than allowed. */
  admit(now: number): boolean {
    const oldest = now - this.#limits.periodMs;
    this.#times = this.#times.filter((time) => time >= oldest);
    this.#times.push(now);
    return this.#times.length <= this.#limits.intensity;
  }

  /** How many restarts it holds. */
  get size(): number {
    return this.#times.length;
  }
}

/** Full jitter: anything from 0 to a limit that doubles with each restart in the period, from `minDelayMs` up to `maxDelayMs`. */
export function backoffDelay(options: {
  backoff: Backoff | undefined;
  restarts: number;
  random: () => number;
}): number {
  const { backoff, restarts, random } = options;
  if (!backoff) return 0;
  return random() * Math.min(backoff.maxDelayMs, backoff.minDelayMs * 2 ** (restarts - 1));
}
