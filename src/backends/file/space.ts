import { statfsSync } from 'node:fs';
import type { Clock, Timer } from '../../model/clock.js';
import { BrokerFullError } from '../../model/errors.js';
import type { Ballast } from './ballast.js';
import { PAGE_BYTES } from './databases.js';

/** A measurement holds for so long; while there is too little, it is taken so often. */
const MEASURED_EVERY_MS = 100;
const MEGABYTE = 2 ** 20;
/** LMDB writes whole pages, with some room in them, and the pages above them. */
const BYTES_ON_DISK = 2;
/** Never touched, as far as it is up to the hub. */
const LEAST_BYTES = MEGABYTE;
const REMOVALS_AT_LEAST = 16;

/** What the operating system says of a file system. */
export interface Volume {
  /** The number of its kind. */
  readonly type: number;
  readonly freeBytes: number;
}

export function volumeOf(folder: string): Volume {
  const { type, bavail, bsize } = statfsSync(folder);
  return { type, freeBytes: bavail * bsize };
}

export interface SpacePorts {
  readonly clock: Clock;
  readonly freeBytes: () => number;
  /** In the data file: what was removed leaves room in it, and it does not shrink. */
  readonly reusableBytes: () => number;
  /** Of messages that are gathered or being written. */
  readonly pendingBytes: () => number;
  readonly ballast: Ballast;
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
  #waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;
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

  /**
   * How many records may be removed by one commit that also adds so many bytes; 0 if it must wait. A removal may copy a
   * page, and what a commit leaves behind is room for the next but one: so few go at once when little is left.
   */
  removalsAtOnce(bytes: number): number {
    this.#measure();
    const left = this.#freeBytes - LEAST_BYTES - BYTES_ON_DISK * bytes;
    const least = REMOVALS_AT_LEAST * PAGE_BYTES;
    return left < least ? 0 : Math.max(REMOVALS_AT_LEAST, Math.floor(left / 16 / PAGE_BYTES));
  }

  /** Resolves when it is time to ask again; rejects when the store closes. */
  later(): Promise<void> {
    if (this.#hasEnded) return Promise.reject(this.#refuse());
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#watch();
    });
  }

  /** Nothing waits for room any more. */
  end(): void {
    this.#hasEnded = true;
    this.ports.clock.clearTimeout(this.#timer);
    this.#waiting?.reject(this.#refuse());
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
    } else if (
      !this.#hasEnded &&
      !ballast.isThere &&
      this.#freeBytes - ballast.bytes >= this.reserveBytes / 2
    )
      ballast.make();
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
      this.#waiting?.resolve();
      this.#waiting = undefined;
      if (!this.#takes) this.#watch();
    }, MEASURED_EVERY_MS);
  }
}
