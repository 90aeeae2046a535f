import type { Clock } from '../model/clock.js';
import { SpoolFullError } from '../model/errors.js';

const MEGABYTE = 2 ** 20;
/** With less on the disk nothing is taken: a full disk is worse for everybody than a refused publish. */
const RESERVE_BYTES = 64 * MEGABYTE;
/** A measurement holds for so long. */
const MEASURED_EVERY_MS = 100;
/** LMDB writes whole pages, with some room in them, and the pages above them. */
const BYTES_ON_DISK = 2;

export interface RoomPorts {
  readonly folder: string;
  readonly clock: Clock;
  readonly bytesMax: number;
  readonly spooledBytes: () => number;
  /** Of what was set aside. */
  readonly refusedBytes: () => number;
  /** Not on the disk yet. */
  readonly pendingBytes: () => number;
  readonly freeBytes: () => number;
}

/** Whether there is room for more: within the spool's own limit, and on the disk. */
export class Room {
  readonly #ports: RoomPorts;
  #measuredAt = -Infinity;
  #freeBytes = 0;
  #refusedBytes = 0;

  constructor(ports: RoomPorts) {
    this.#ports = ports;
  }

  /** With what is not written yet. */
  get hasRoomOnDisk(): boolean {
    this.#measure();
    return this.#freeBytes - BYTES_ON_DISK * this.#ports.pendingBytes() >= RESERVE_BYTES;
  }

  get refusal(): Error | undefined {
    const { folder, bytesMax, spooledBytes } = this.#ports;
    const hasRoom = this.hasRoomOnDisk;
    const used = spooledBytes() + this.#refusedBytes;
    if (used >= bytesMax)
      return new SpoolFullError(
        `The spool "${folder}" holds ${inMegabytes(used)} MB, which is its limit; nothing was sent. ` +
          'Publish later, or give it more bytesMax.',
      );
    if (hasRoom) return undefined;
    return new SpoolFullError(
      `The disk of the spool "${folder}" has ${inMegabytes(this.#freeBytes)} MB free; nothing was sent. Make room on it.`,
    );
  }

  #measure(): void {
    const { clock, freeBytes, refusedBytes } = this.#ports;
    const now = clock.now();
    if (now - this.#measuredAt < MEASURED_EVERY_MS) return;
    this.#measuredAt = now;
    this.#freeBytes = freeBytes();
    this.#refusedBytes = refusedBytes();
  }
}

function inMegabytes(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(1);
}
