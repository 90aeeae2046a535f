import type { Clock, Timer } from '../../model/clock.js';
import { BrokerFullError } from '../../model/errors.js';
import type { Ballast } from './ballast.js';

/** A measurement holds for so long; while there is too little, it is taken so often. */
const MEASURED_EVERY_MS = 100;
const MEGABYTE = 2 ** 20;
/** LMDB writes whole pages, with some room in them, and the pages above them. */
const BYTES_ON_DISK = 2;

export interface SpacePorts {
  readonly clock: Clock;
  readonly freeBytes: () => number;
  /** In the data file: what was removed leaves room in it, and it does not shrink. */
  readonly reusableBytes: () => number;
  /** Of messages that are gathered or being written. */
  readonly pendingBytes: () => number;
  readonly ballast: Ballast;
  /** There may be room for what had to wait. */
  readonly roomier: () => void;
}

/**
 * Watches the disk, which must never be full: LMDB does not survive that. Publishes are refused below a reserve, acks and
 * deletions go on. Room in the data file counts half, since a large message needs neighbouring pages; but a quarter of the
 * reserve must be free on the disk itself. Below that the ballast is given up; with nothing left, everything waits.
 */
export class Space {
  #freeBytes = 0;
  #reusableBytes = 0;
  #measuredAt = -Infinity;
  #timer: Timer | undefined;
  #refusal: BrokerFullError | undefined;
  #isWaiting = false;
  #hasEnded = false;

  constructor(
    readonly folder: string,
    readonly reserveBytes: number,
    readonly ports: SpacePorts,
  ) {
    this.#measure();
  }

  /** Why nothing more is taken for now. */
  get refusal(): Error | undefined {
    if (this.ports.clock.now() - this.#measuredAt >= MEASURED_EVERY_MS) this.#measure();
    if (this.#takes) return undefined;
    this.#watch();
    return (this.#refusal ??= this.#refuse());
  }

  /** Whether something of that size may be written now. If not, `roomier` tells when to ask again. */
  mayWrite({ bytes, size }: { bytes: number; size: number }): boolean {
    this.#measure();
    // A removal changes a page, mostly the same as the one before it.
    const needed = MEGABYTE + BYTES_ON_DISK * bytes + Math.min(size, 4096) * 1024;
    const { free, reusable } = { free: this.#freeBytes, reusable: this.#reusableBytes };
    this.#isWaiting = free < MEGABYTE || free + reusable / 2 < needed;
    if (this.#isWaiting) this.#watch();
    return !this.#isWaiting;
  }

  async close(): Promise<void> {
    this.#hasEnded = true;
    this.ports.clock.clearTimeout(this.#timer);
    await this.ports.ballast.close();
  }

  get #takes(): boolean {
    const free = this.#freeBytes - BYTES_ON_DISK * this.ports.pendingBytes();
    return free >= this.reserveBytes / 4 && free + this.#reusableBytes / 2 >= this.reserveBytes;
  }

  #measure(): void {
    const { clock, freeBytes, reusableBytes, ballast } = this.ports;
    this.#measuredAt = clock.now();
    this.#refusal = undefined;
    this.#freeBytes = freeBytes();
    if (this.#freeBytes < this.reserveBytes / 4 && ballast.isThere) {
      ballast.give();
      this.#freeBytes = freeBytes();
    } else if (!ballast.isThere && this.#freeBytes - ballast.bytes >= this.reserveBytes / 2) ballast.make();
    this.#reusableBytes = this.#freeBytes < 2 * this.reserveBytes ? reusableBytes() : 0;
  }

  #refuse(): BrokerFullError {
    const [free, reserve] = [this.#freeBytes, this.reserveBytes].map((bytes) =>
      (bytes / MEGABYTE).toFixed(1),
    );
    return new BrokerFullError(
      `The disk of folder "${this.folder}" has ${free} MB free, and the reserve is ${reserve} MB: ` +
        'nothing more is taken. Acks and deletions go on. Make room on the disk, or let consumers catch up.',
    );
  }

  #watch(): void {
    if (this.#timer || this.#hasEnded) return;
    this.#timer = this.ports.clock.setTimeout(() => {
      this.#timer = undefined;
      this.#measure();
      if (this.#isWaiting) this.ports.roomier();
      if (this.#isWaiting || !this.#takes) this.#watch();
    }, MEASURED_EVERY_MS);
  }
}
