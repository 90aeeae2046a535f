import type { Delivery, LetterDetails } from '../backend.js';
import { delayMs } from '../model/backoff.js';
import type { Environment, Timer } from '../model/clock.js';
import { FencedError, SessionLostError, isRetryable, toError } from '../model/errors.js';
import type { Fence } from './fence.js';

/** Between two attempts to have a rejection taken, with full jitter. */
const BACKOFF = { minDelayMs: 100, maxDelayMs: 10_000 };

export interface BurialReports {
  buried(delivery: Delivery, letter: LetterDetails): void;
  /** The broker does not take a rejection for now. Once for each message: it is asked again. */
  refused(delivery: Delivery, error: Error): void;
  /** It refuses one for good. */
  lost(reason: Error): void;
  /** It is unsettled, and comes again as if for the first time. */
  forgotten(delivery: Delivery): void;
}

interface Burial {
  readonly delivery: Delivery;
  readonly letter: LetterDetails;
  /** Of the same message: settled with it. */
  readonly copies: readonly Delivery[];
  attempts: number;
  timer: Timer | undefined;
}

/**
 * Rejections on their way to the dead letters. One that a living session refuses for now is said again after a while: until then
 * it takes a place in the prefetch. One that is refused for good ends the consuming, and so does not stay in hand for ever.
 */
export class Burials {
  readonly #open = new Set<Burial>();

  constructor(
    readonly environment: Environment,
    readonly fence: Fence,
    readonly reports: BurialReports,
  ) {}

  bury(delivery: Delivery, letter: LetterDetails, copies: readonly Delivery[]): void {
    const burial = { delivery, letter, copies, attempts: 0, timer: undefined };
    this.#open.add(burial);
    this.#say(burial);
  }

  /** Nothing more is said; what the broker has not taken is forgotten. */
  end(): void {
    for (const burial of this.#open) this.environment.clock.clearTimeout(burial.timer);
    for (const burial of [...this.#open]) this.#forget(burial);
  }

  #say(burial: Burial): void {
    this.fence.say(() => {
      if (!this.#open.has(burial)) return;
      burial.attempts += 1;
      burial.delivery.reject(burial.letter).then(
        () => this.#taken(burial),
        (thrown: unknown) => this.#refused(burial, toError(thrown)),
      );
    });
  }

  #taken(burial: Burial): void {
    this.#open.delete(burial);
    for (const copy of burial.copies) copy.ack();
    this.reports.buried(burial.delivery, burial.letter);
  }

  #refused(burial: Burial, error: Error): void {
    if (!this.#open.has(burial)) return;
    // The end of a session or an ownership is told elsewhere.
    if (error instanceof SessionLostError || error instanceof FencedError) return this.#forget(burial);
    if (!isRetryable(error)) {
      this.#forget(burial);
      this.reports.lost(error);
      return;
    }
    if (burial.attempts === 1) this.reports.refused(burial.delivery, error);
    const { clock, random } = this.environment;
    const waitMs = delayMs({ ...BACKOFF, attempt: burial.attempts }, random);
    burial.timer = clock.setTimeout(() => this.#say(burial), waitMs);
  }

  #forget(burial: Burial): void {
    this.#open.delete(burial);
    this.reports.forgotten(burial.delivery);
  }
}
