import { close, constants, open, readdirSync, readFileSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { ChangeList } from './change-list.js';
import { flushPath } from '../../folder/folder-note.js';
import { recordsOf, recordSize, sealRecord } from './log-record.js';

/** When the log is so long, the table takes what is in it. */
const LOG_MAX_BYTES = 2 ** 23;
/** It grows by so much at once, and keeps what it has: what is written there later finds its room taken. */
const GROWN_BY_BYTES = 2 ** 20;

const openFile = promisify(open);
const closeFile = promisify(close);
const writeFile = promisify(write);

export interface LogPorts {
  /** Whether the disk has plenty beside so much. */
  readonly hasPlentyBeside: (bytes: number) => boolean;
  /** The file is there. Nothing is written to it before this has resolved. */
  readonly opened: () => Promise<void>;
}

/**
 * What the hub of that number writes down before it confirms: one write, flushed, for each batch. The table takes over
 * what is in it from time to time, and it begins anew. A file of its own for each hub: one that was frozen writes into
 * nothing that its successor reads or writes.
 */
export class Log {
  readonly #path: string;
  readonly #ports: LogPorts;
  readonly #salt: number;
  generation = 1;
  #file: number | undefined;
  #end = 0;
  #size = 0;
  #appending: Promise<unknown> | undefined;

  constructor(
    readonly folder: string,
    file: string,
    ports: LogPorts,
  ) {
    this.#path = join(folder, file);
    this.#salt = crc32(file);
    this.#ports = ports;
  }

  /** Resolves when it is safe, or, with false, when there is no room for it here. One at a time. */
  append(changes: ChangeList, batch: number): Promise<boolean> {
    const appended = this.#append(changes, batch);
    this.#appending = appended.catch(() => {});
    return appended;
  }

  async #append(changes: ChangeList, batch: number): Promise<boolean> {
    const { buffer, bytes } = changes;
    const end = this.#end + recordSize(bytes);
    try {
      if (end > this.#size && !(await this.#grow(end))) return false;
      sealRecord(buffer, bytes, { generation: this.generation, salt: this.#salt }, batch);
      await this.#write(buffer, bytes, this.#end);
    } catch (error) {
      if (isDiskFull(error)) return false;
      throw error;
    }
    this.#end = end;
    return true;
  }

  /** The table has everything: what is written from now on is all that the next hub reads. */
  restart(): void {
    this.generation++;
    this.#end = 0;
  }

  async close(): Promise<void> {
    await this.#appending;
    if (this.#file !== undefined) await closeFile(this.#file);
    this.#file = undefined;
  }

  async #grow(end: number): Promise<boolean> {
    const size = Math.ceil(end / GROWN_BY_BYTES) * GROWN_BY_BYTES;
    if (size > LOG_MAX_BYTES || !this.#ports.hasPlentyBeside(size - this.#size)) return false;
    if (this.#file === undefined) {
      // Each write is flushed by itself: one way to the disk instead of two.
      this.#file = await openFile(
        this.#path,
        constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC,
        0o600,
      );
      flushPath(this.folder);
      await this.#ports.opened();
    }
    const zeros = Buffer.alloc(size - this.#size);
    await this.#write(zeros, zeros.length, this.#size);
    this.#size = size;
    return true;
  }

  async #write(buffer: Buffer, bytes: number, at: number): Promise<void> {
    for (let done = 0; done < bytes;) {
      const { bytesWritten } = await writeFile(this.#file!, buffer, done, bytes - done, at + done);
      done += bytesWritten;
    }
  }
}

function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Of a hub: its number, and a name that no other has. */
export function logFile(hub: number, name: string): string {
  return `log-${hub}-${name}`;
}

export interface FoundLog {
  readonly file: string;
  readonly hub: number;
}

/** Those that are there, by the numbers of their hubs. */
export function findLogs(folder: string): FoundLog[] {
  return readdirSync(folder)
    .map((file) => ({ file, hub: Number(/^log-(\d{1,15})-/.exec(file)?.[1] ?? NaN) }))
    .filter(({ hub }) => !Number.isNaN(hub))
    .sort((a, b) => a.hub - b.hub);
}

/** What a hub has written down in that generation. Throws Damage. */
export function readLog(folder: string, { file }: FoundLog, generation: number): Buffer[] {
  return recordsOf(readFileSync(join(folder, file)), { generation, salt: crc32(file) });
}
