import type { Clock, Timer } from '../../model/clock.js';
import { Fifo } from '../../model/fifo.js';

/** So much of `ownerTimeoutMs` after the sending of the last answered ping an ownership is valid. */
const VALID_PART = 3 / 5;
const PINGS_IN_A_TIMEOUT = 5;
/** The wall clock may go so much ahead of the monotonic one: by more, and the machine has slept. */
const SLEEP_MS = 1_000;

interface Ping {
  readonly sentAt: number;
  readonly wallAhead: number;
  readonly answered: (() => void)[];
}

/**
 * Signs of life through the hub. What the hub has answered proves that it counted this master among the living when it
 * was *sent*, so validity counts from there and ends before the hub would take the master for frozen.
 */
export class SignsOfLife {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #say: (number: number) => void;
  readonly #silent: () => void;
  readonly #unanswered = new Fifo<Ping>();
  #validUntil: number;
  #wallAhead: number;
  #said = 0;
  #answeredAt: number;
  #timer: Timer | undefined;

  /** `say` sends a ping; `silent` is told when the hub has answered none for `timeoutMs`. */
  constructor(
    clock: Clock,
    options: { timeoutMs: number; sentAt: number; say: (number: number) => void; silent: () => void },
  ) {
    this.#clock = clock;
    this.#timeoutMs = options.timeoutMs;
    this.#say = options.say;
    this.#silent = options.silent;
    this.#validUntil = options.sentAt + options.timeoutMs * VALID_PART;
    this.#wallAhead = clock.wall() - clock.now();
    this.#answeredAt = clock.now();
    this.#beat();
  }

  /** Whether an ownership of this session may act now. The monotonic clock stands still while a machine sleeps. */
  valid(): boolean {
    const now = this.#clock.now();
    return now < this.#validUntil && this.#clock.wall() - now - this.#wallAhead < SLEEP_MS;
  }

  /** Asks at once; resolves with the answer. It stays open if none comes: then the session ends. */
  ask(): Promise<void> {
    return new Promise((resolve) => this.#ping(resolve));
  }

  /** The hub has answered the oldest ping. */
  answered(): void {
    const ping = this.#unanswered.shift();
    if (!ping) return;
    this.#answeredAt = this.#clock.now();
    this.#validUntil = ping.sentAt + this.#timeoutMs * VALID_PART;
    this.#wallAhead = ping.wallAhead;
    for (const answered of ping.answered) answered();
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#validUntil = -Infinity;
  }

  #ping(answered?: () => void): void {
    const sentAt = this.#clock.now();
    const wallAhead = this.#clock.wall() - sentAt;
    this.#unanswered.push({ sentAt, wallAhead, answered: answered ? [answered] : [] });
    this.#say(++this.#said);
  }

  readonly #beat = (): void => {
    const now = this.#clock.now();
    const oldest = this.#unanswered.peek();
    const silentSince = oldest && Math.max(oldest.sentAt, this.#answeredAt);
    if (silentSince !== undefined && now - silentSince > this.#timeoutMs) return this.#silent();
    this.#ping();
    this.#timer = this.#clock.setTimeout(this.#beat, this.#timeoutMs / PINGS_IN_A_TIMEOUT);
  };
}
