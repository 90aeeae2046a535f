import type { Clock, Timer } from '../../model/clock.js';
import { BrokerFullError } from '../../model/errors.js';
import type { Ballast } from './ballast.js';
import { PAGE_BYTES } from './databases.js';
import { claimHeadroom, headroomOf } from './headroom.js';

/** A measurement holds for so long; while there is too little, it is taken so often. */
const MEASURED_EVERY_MS = 100;
const MEGABYTE = 2 ** 20;
/** LMDB writes whole pages, with some room in them, and the pages above them. */
const BYTES_ON_DISK = 2;
/** For what nobody counts: LMDB's own trees. */
const LEAST_BYTES = MEGABYTE;
/** So many reserves are plenty: below, the data file is looked at as well. */
const LOW = 2;
/** Removals may take this part of what is left. */
const REMOVALS_SHARE = 16;
const REMOVALS_AT_LEAST = 16;

export interface DataFileUsage {
  readonly path: string;
  /** Up to the last page that is used. */
  readonly usedBytes: number;
  /** Within it: what was removed leaves room, and the file does not shrink. */
  readonly reusableBytes: number;
}

export interface SpacePorts {
  readonly clock: Clock;
  readonly freeBytes: () => number;
  readonly dataFile: () => DataFileUsage;
  /** Of messages that are gathered or being written. */
  readonly pendingBytes: () => number;
  readonly ballast: Ballast;
  /** Publishes are refused: told now and then while it lasts. */
  readonly tight: () => void;
}

/**
 * Watches the disk, which must never be full: LMDB does not survive that. Publishes are refused below a reserve, acks and
 * deletions go on. Room within the data file counts half, since a large message needs neighbouring pages; but a quarter of
 * the reserve must be free beside it. Below that the ballast is given up. Where the disk is low, each commit has its room
 * in the data file before it begins, so that other programs cannot take it away; with nothing left, everything waits.
 */
export class Space {
  #freeBytes = 0;
  /** Of these two, nothing while much is free. */
  #reusableBytes = 0;
  #headroom = 0;
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
   * How many records may be removed by one commit that also adds so many bytes. A removal may copy a page, and what a
   * commit leaves behind is room for the next but one: so few go at once when little is left. Waits while there is no room;
   * rejects when the store closes meanwhile.
   */
  async admit(bytes: number, removals: number): Promise<number> {
    const added = LEAST_BYTES + BYTES_ON_DISK * bytes;
    for (;;) {
      this.#measure();
      if (this.#freeBytes >= LOW * this.reserveBytes + added + removals * PAGE_BYTES) return removals;
      const left = this.#freeBytes + this.#headroom - added;
      const least = Math.min(removals, REMOVALS_AT_LEAST);
      const share = Math.floor(left / REMOVALS_SHARE / PAGE_BYTES);
      const admitted = Math.min(removals, Math.max(share, least));
      if (left >= admitted * PAGE_BYTES && (await this.#claim(added + admitted * PAGE_BYTES)))
        return admitted;
      await this.#later();
    }
  }

  async #claim(bytes: number): Promise<boolean> {
    const { path, usedBytes } = this.ports.dataFile();
    return headroomOf(path, usedBytes) >= bytes || claimHeadroom(path, usedBytes, bytes);
  }

  /** Whether so much may be written beside the batches. */
  hasRoomFor(bytes: number): boolean {
    this.#measure();
    return this.#freeBytes - LEAST_BYTES >= bytes;
  }

  /** Whether the disk is not even low when so much is written that may stay. */
  hasPlentyBeside(bytes: number): boolean {
    return this.hasRoomFor(LOW * this.reserveBytes + bytes);
  }

  #later(): Promise<void> {
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
    const free = this.#freeBytes + this.#headroom - BYTES_ON_DISK * this.ports.pendingBytes();
    return free >= this.reserveBytes / 4 && free + this.#reusableBytes / 2 >= this.reserveBytes;
  }

  #measure(): void {
    const { clock, freeBytes, dataFile, ballast } = this.ports;
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
    this.#reusableBytes = 0;
    this.#headroom = 0;
    if (this.#freeBytes >= LOW * this.reserveBytes) return;
    const { path, usedBytes, reusableBytes } = dataFile();
    this.#reusableBytes = reusableBytes;
    this.#headroom = headroomOf(path, usedBytes);
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
      if (this.#takes) return;
      this.ports.tight();
      this.#watch();
    }, MEASURED_EVERY_MS);
  }
}
