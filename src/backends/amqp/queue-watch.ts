import { Brim } from '../../model/brim.js';
import type { Clock, Timer } from '../../model/clock.js';
import type { DurableQueues } from './durable-queues.js';

/** Until an owner looks again how many messages wait in a queue with a limit. */
const LOOK_MS = 1_000;
/** So many looks at a queue that expires go into its `expiresMs`. */
const LOOKS_BEFORE_EXPIRY = 4;

/** Looks now and then at a queue that has a limit, or that would expire though somebody stands for it. */
export class QueueWatch {
  readonly #queue: string;
  readonly #queues: DurableQueues;
  readonly #clock: Clock;
  readonly #full: (waiting: number) => void;
  #brim: Brim | undefined;
  #timer: Timer | undefined;
  #isOn = false;

  /** `full` is told when as many wait as the limit allows. */
  constructor(queue: string, queues: DurableQueues, clock: Clock, full: (waiting: number) => void) {
    this.#queue = queue;
    this.#queues = queues;
    this.#clock = clock;
    this.#full = full;
  }

  /** With a limit, as its owner does, or to keep it from expiring, or both. In place of what was watched before. */
  start(limit: number | undefined, expiresMs: number | undefined): void {
    this.#isOn = true;
    this.#brim = limit === undefined ? undefined : new Brim(limit);
    if (this.#brim) void this.#look();
    this.#later(expiresMs);
  }

  stop(): void {
    this.#isOn = false;
    this.#clock.clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const brim = this.#brim;
    const found = await this.#queues.work(this.#queue).catch(() => undefined);
    if (found && this.#isOn && this.#brim === brim && brim?.note(found.messageCount))
      this.#full(found.messageCount);
  }

  #later(expiresMs: number | undefined): void {
    this.#clock.clearTimeout(this.#timer);
    if (!this.#isOn || (expiresMs === undefined && !this.#brim)) return;
    const everyMs = Math.min(
      this.#brim ? LOOK_MS : Infinity,
      expiresMs === undefined ? Infinity : expiresMs / LOOKS_BEFORE_EXPIRY,
    );
    this.#timer = this.#clock.setTimeout(() => {
      const look = this.#brim ? this.#look() : Promise.resolve();
      const renewal = expiresMs === undefined ? Promise.resolve() : this.#queues.renew(this.#queue);
      void Promise.all([look, renewal.catch(() => {})]).then(() => this.#later(expiresMs));
    }, everyMs);
  }
}
