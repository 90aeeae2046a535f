export interface RestartLimits {
  /** Restarts allowed within any `periodMs`. */
  readonly intensity: number;
  readonly periodMs: number;
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
