import { randomFillSync } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { folderError } from '../../folder/folder-errors.js';
import type { Volume } from '../../folder/volume.js';

const BALLAST_FILE = 'ballast';
const CHUNK_BYTES = 2 ** 20;
/** What a hub writes before it can watch the disk, at most. */
const OPENING_BYTES = 2 ** 22;

/** A file that keeps a place on the disk. When the disk is nearly full it is deleted, so that acks still find room. */
export class Ballast {
  readonly #path: string;
  #making: Promise<void> | undefined;
  #isWanted = false;
  #isThere: boolean;

  constructor(
    folder: string,
    readonly bytes: number,
  ) {
    this.#path = join(folder, BALLAST_FILE);
    this.#isThere = bytes > 0 && statSync(this.#path, { throwIfNoEntry: false })?.size === bytes;
  }

  get isThere(): boolean {
    return this.#isThere || this.#making !== undefined;
  }

  /** Makes it behind the scenes, for real: not a file with holes. */
  make(): void {
    if (this.isThere || this.bytes === 0) return;
    this.#isWanted = true;
    this.#making = this.#write()
      .then(() => (this.#isThere = this.#isWanted))
      // Without it the hub works as well; it is tried again.
      .catch(() => this.#drop())
      .finally(() => (this.#making = undefined)) as Promise<void>;
  }

  /** Deletes it. */
  give(): void {
    this.#isWanted = false;
    this.#drop();
  }

  /** Resolves when nothing is under way. The file stays. */
  async close(): Promise<void> {
    await this.#making;
  }

  #drop(): void {
    this.#isThere = false;
    rmSync(this.#path, { force: true });
  }

  async #write(): Promise<void> {
    // A file system that compresses must not shrink it.
    const chunk = randomFillSync(Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, this.bytes)));
    const file = await open(this.#path, 'w');
    try {
      for (let at = 0; at < this.bytes && this.#isWanted; at += chunk.length)
        await file.write(chunk, 0, Math.min(chunk.length, this.bytes - at));
      await file.sync();
    } finally {
      await file.close();
    }
    if (!this.#isWanted) this.#drop();
  }
}

/** Gives up the ballast if the hub could not even open the folder. */
export function makeRoom(folder: string, volumeOf: (folder: string) => Volume): void {
  if (volumeOf(folder).freeBytes >= OPENING_BYTES) return;
  rmSync(join(folder, BALLAST_FILE), { force: true });
  const { freeBytes } = volumeOf(folder);
  if (freeBytes >= OPENING_BYTES) return;
  throw folderError(folder, `its disk is full (${Math.floor(freeBytes / 1024)} KB free)`, 'Make room on it.');
}
