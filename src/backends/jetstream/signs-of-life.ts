import type { Clock, Timer } from '../../model/clock.js';

/** How often an owner asks itself by way of the server. */
const ASK_MS = 50;
/** So long after the sending of the last answered question this side may act. A standby waits longer than that. */
const VALID_MS = 400;
/** The note that this master lives must be younger than this part of the time after which it is taken for frozen. */
const RENEWAL_PART = 0.8;
/** The wall clock may go so much ahead of the monotonic one: by more, and the machine has slept. */
const SLEEP_MS = 1_000;

export interface SignsPorts {
  readonly clock: Clock;
  /** With nothing owned, questions only show that the connection lives. */
  readonly idleMs: number;
  /** Asks this session itself; `answered` is called when the question has come around. */
  readonly ask: (answered: () => void) => void;
  /** No question was answered for so long: the connection is given up, and others take this master for frozen. */
  readonly ownerTimeoutMs: number;
  readonly silent: () => void;
  /** It was not valid for a while, and is again: somebody may have taken over what it owned. */
  readonly resumed: () => void;
}

/**
 * A session asks itself by way of the server. While the answers come, the server has its subscription, so nobody who asks for
 * it is told that it has gone. One question serves everything that the session owns.
 */
export class SignsOfLife {
  readonly #ports: SignsPorts;
  #timer: Timer | undefined;
  /** The lesser of the two below: what is asked most. */
  #validUntil = -Infinity;
  #answeredUntil = -Infinity;
  #renewedUntil = -Infinity;
  #wallAhead = 0;
  #answeredAt: number;
  #isOwning = false;
  #isStopped = false;
  #lapses = 0;
  readonly #asking: (() => void)[] = [];

  constructor(ports: SignsPorts) {
    this.#ports = ports;
    this.#answeredAt = ports.clock.now();
  }

  /** Grows with each lapse: what was proven before one has to be proven again. */
  get lapses(): number {
    return this.#lapses;
  }

  start(): void {
    this.#beat();
  }

  stop(): void {
    this.#isStopped = true;
    this.#answeredUntil = -Infinity;
    this.#bound();
    this.#ports.clock.clearTimeout(this.#timer);
    for (const resolve of this.#asking.splice(0)) resolve();
  }

  /** Whether anything is owned: then it asks more often. */
  own(isOwning: boolean): void {
    if (this.#isOwning === isOwning || this.#isStopped) return;
    this.#isOwning = isOwning;
    if (isOwning) this.#beat();
  }

  /** The monotonic clock stands still while a machine sleeps. */
  valid(now = this.#ports.clock.now()): boolean {
    return now < this.#validUntil && this.#ports.clock.wall() - now - this.#wallAhead < SLEEP_MS;
  }

  /** It is noted that this master lives; the note was sent then. */
  renewed(sentAt: number): void {
    if (this.#isStopped) return;
    const wasValid = this.valid();
    const hasBegun = this.#answeredUntil !== -Infinity;
    this.#renewedUntil = sentAt + this.#ports.ownerTimeoutMs * RENEWAL_PART;
    this.#bound();
    this.#noteLapse(wasValid || !hasBegun);
  }

  /** Whether the note is young enough for a while. */
  get isRenewed(): boolean {
    return this.#ports.clock.now() < this.#renewedUntil - (this.#ports.ownerTimeoutMs * RENEWAL_PART) / 2;
  }

  /** Resolves with the next answer to a question that was sent from now on, or at the end. */
  prove(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#asking.push(resolve);
      this.#ask(this.#asking.splice(0));
    });
  }

  #beat(): void {
    const { clock, idleMs, ownerTimeoutMs, silent } = this.#ports;
    clock.clearTimeout(this.#timer);
    if (this.#isStopped) return;
    const everyMs = this.#isOwning ? ASK_MS : idleMs;
    const sentAt = clock.now();
    this.#ask([]);
    this.#timer = clock.setTimeout(() => {
      // A pause of this process is nobody's silence: what came meanwhile is read before the next look.
      if (clock.now() - sentAt > everyMs + ownerTimeoutMs / 2) this.#answeredAt = clock.now();
      if (clock.now() - this.#answeredAt > ownerTimeoutMs) return silent();
      this.#beat();
    }, everyMs);
  }

  #ask(resolves: readonly (() => void)[]): void {
    const { clock, ask } = this.#ports;
    const [now, wall] = [clock.now(), clock.wall()];
    ask(() => {
      this.#answered(now, wall);
      for (const resolve of resolves) resolve();
    });
  }

  #answered(sentAt: number, sentWall: number): void {
    if (this.#isStopped) return;
    const wasValid = this.valid();
    const hasBegun = this.#answeredUntil !== -Infinity;
    this.#answeredAt = this.#ports.clock.now();
    if (sentAt + VALID_MS > this.#answeredUntil) {
      this.#answeredUntil = sentAt + VALID_MS;
      this.#wallAhead = sentWall - sentAt;
      this.#bound();
    }
    this.#noteLapse(wasValid || !hasBegun);
  }

  #noteLapse(wasValid: boolean): void {
    if (wasValid || !this.#isOwning || !this.valid()) return;
    this.#lapses++;
    this.#ports.resumed();
  }

  #bound(): void {
    this.#validUntil = Math.min(this.#answeredUntil, this.#renewedUntil);
  }
}
