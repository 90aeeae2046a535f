/** Milliseconds, or from and to: each word draws its own. */
export type Delay = number | readonly [fromMs: number, toMs: number];

/** How often something is to go wrong, and how often it has. */
class Quota {
  #left = 0;

  add(count: number): void {
    this.#left += count;
  }

  clear(): void {
    this.#left = 0;
  }

  /** Whether it goes wrong this time. */
  take(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}

/** What is to go wrong on the line of one master: set by its `Faults`, asked by its sessions. */
export class FaultPlan {
  toBrokerMs: Delay = 0;
  fromBrokerMs: Delay = 0;
  /** Why nobody can connect. */
  outage: Error | undefined;
  /** Why no publish is taken. */
  refusal: Error | undefined;
  readonly confirmsToLose = new Quota();
  readonly acksToLose = new Quota();
  readonly deliveriesToDouble = new Quota();
  readonly #random: () => number;
  #blocked: { reason: string; waiting: (() => void)[] } | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Why publishes wait at the broker; undefined if they do not. */
  get blockedBy(): string | undefined {
    return this.#blocked?.reason;
  }

  block(reason: string): void {
    this.#blocked = { reason, waiting: this.#blocked?.waiting ?? [] };
  }

  unblock(): void {
    const waiting = this.#blocked?.waiting ?? [];
    this.#blocked = undefined;
    for (const go of waiting) go();
  }

  /** Does it when the broker takes publishes: at once, or in the order of the calls. */
  whenTaken<T>(publish: () => Promise<T>): Promise<T> {
    if (!this.#blocked) return publish();
    const { waiting } = this.#blocked;
    return new Promise((resolve) => waiting.push(() => resolve(publish())));
  }

  draw(delay: Delay): number {
    if (typeof delay === 'number') return delay;
    const [from, to] = delay;
    return from + Math.floor(this.#random() * (to - from + 1));
  }
}
