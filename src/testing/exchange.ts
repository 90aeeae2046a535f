import type { Clock } from '../model/clock.js';
import { SessionLostError } from '../model/errors.js';
import type { FaultPlan } from './fault-plan.js';
import { Wire } from './wire.js';

/** What is said over a connection: calls and their answers, and words that nobody answers. */
export class Exchange {
  /** Settles at the end: undefined if it was closed, else why. */
  readonly closed: Promise<Error | undefined>;
  readonly toBroker: Wire;
  readonly fromBroker: Wire;
  readonly #unanswered = new Set<(error: Error) => void>();
  #neverAnswered = 0;
  #settleClosed!: (reason: Error | undefined) => void;
  #hasEnded = false;

  constructor(clock: Clock, plan: FaultPlan) {
    this.toBroker = new Wire(clock, () => plan.draw(plan.toBrokerMs));
    this.fromBroker = new Wire(clock, () => plan.draw(plan.fromBrokerMs));
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Whether a word is under way, or an answer is to come. */
  get isBusy(): boolean {
    const { toBroker, fromBroker } = this;
    if (this.#hasEnded) return false;
    return toBroker.size + fromBroker.size > 0 || this.#unanswered.size > this.#neverAnswered;
  }

  /** Whether an answer is awaited that never comes. */
  get isForgotten(): boolean {
    return !this.#hasEnded && this.#neverAnswered > 0;
  }

  /** Asks the broker; a SessionLostError if it ends before the answer. */
  call<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#hasEnded) return Promise.reject(lost());
    return new Promise<T>((resolve, reject) => {
      this.#unanswered.add(reject);
      const answer = (say: () => void) =>
        this.fromBroker.say(() => {
          if (this.#unanswered.delete(reject)) say();
        });
      this.toBroker.say(
        () =>
          void asked(ask).then(
            (value) => answer(() => resolve(value)),
            (error: unknown) => answer(() => reject(error)),
          ),
      );
    });
  }

  /** Whoever cleans up late has nothing left to do. */
  async callIfOpen(ask: () => Promise<void>): Promise<void> {
    if (!this.#hasEnded) await this.call(ask);
  }

  /** Within a call: its answer does not come. */
  never<T>(): Promise<T> {
    this.#neverAnswered++;
    return new Promise(() => {});
  }

  /** From the broker. */
  tell(word: () => void): void {
    this.fromBroker.say(() => {
      if (!this.#hasEnded) word();
    });
  }

  /** The last call: nothing is asked and nobody told after it, and what was asked before is answered as far as it goes. */
  async close(ask: () => Promise<void>): Promise<void> {
    if (this.#hasEnded) return void (await this.closed);
    const asked = this.call(ask);
    this.#hasEnded = true;
    await asked.catch(() => {});
    this.#finish(undefined);
  }

  cut(): void {
    this.toBroker.cut();
    this.fromBroker.cut();
  }

  end(reason: Error | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#finish(reason);
  }

  #finish(reason: Error | undefined): void {
    for (const reject of this.#unanswered) reject(lost());
    this.#unanswered.clear();
    this.#settleClosed(reason);
  }
}

/** What throws has refused as well. */
async function asked<T>(ask: () => Promise<T>): Promise<T> {
  return ask();
}

function lost(): SessionLostError {
  return new SessionLostError('The session has ended.');
}
