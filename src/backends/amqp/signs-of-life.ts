import type { Clock, Timer } from '../../model/clock.js';

/** So many heartbeats after the sending of the last answered sign an ownership is valid. */
const VALID_HEARTBEATS = 1.5;
/** After so many without an answer it is given up. */
const SILENT_HEARTBEATS = 3;
/** The wall clock may go so much ahead of the monotonic one: by more, and the machine has slept. */
const SLEEP_MS = 1_000;

/**
 * An owner proves that it owns: it gives its token back to the broker, which delivers it to the owner of the moment. While it
 * comes back, nobody else has it.
 */
export class SignsOfLife {
  readonly #clock: Clock;
  readonly #heartbeatMs: number;
  readonly #ports: { readonly send: () => boolean; readonly silent: () => void };
  readonly #asking: (() => void)[] = [];
  #sentAt: number | undefined;
  #sentWall = 0;
  #validUntil = -Infinity;
  #wallAhead = 0;
  #answeredAt: number;
  #timer: Timer | undefined;

  /** `send` gives the token back, if it is here; `silent` is told when none came back for too long. */
  constructor(clock: Clock, options: { readonly heartbeatMs: number; send(): boolean; silent(): void }) {
    this.#clock = clock;
    this.#heartbeatMs = options.heartbeatMs;
    this.#ports = { send: () => options.send(), silent: () => options.silent() };
    this.#answeredAt = clock.now();
  }

  /** The ownership begins; what proves it was sent then. */
  start(sentAt: { readonly now: number; readonly wall: number }): void {
    this.#extend(sentAt.now, sentAt.wall);
    this.#beatLater();
  }

  /** The monotonic clock stands still while a machine sleeps. */
  valid(): boolean {
    const now = this.#clock.now();
    return now < this.#validUntil && this.#clock.wall() - now - this.#wallAhead < SLEEP_MS;
  }

  /** Resolves with the next answer to a sign that was sent from now on. It stays open if none comes. */
  ask(): Promise<void> {
    return new Promise((resolve) => {
      this.#asking.push(resolve);
      this.#send();
    });
  }

  /** The token has come back. */
  answered(): void {
    if (this.#sentAt === undefined) return;
    this.#extend(this.#sentAt, this.#sentWall);
    this.#sentAt = undefined;
    if (this.#asking.length === 0) return;
    if (this.valid()) for (const resolve of this.#asking.splice(0)) resolve();
    // The sign was sent before the pause about which they ask.
    else this.#send();
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#validUntil = -Infinity;
    for (const resolve of this.#asking.splice(0)) resolve();
  }

  #extend(sentAt: number, sentWall: number): void {
    this.#validUntil = sentAt + this.#heartbeatMs * VALID_HEARTBEATS;
    this.#wallAhead = sentWall - sentAt;
    this.#answeredAt = this.#clock.now();
  }

  #send(): void {
    if (this.#sentAt !== undefined) return;
    const [now, wall] = [this.#clock.now(), this.#clock.wall()];
    if (!this.#ports.send()) return;
    this.#sentAt = now;
    this.#sentWall = wall;
  }

  #beatLater(): void {
    this.#timer = this.#clock.setTimeout(() => {
      const silentMs = this.#clock.now() - Math.max(this.#answeredAt, this.#sentAt ?? -Infinity);
      if (silentMs > this.#heartbeatMs * SILENT_HEARTBEATS) return this.#ports.silent();
      this.#send();
      this.#beatLater();
    }, this.#heartbeatMs / 2);
  }
}
