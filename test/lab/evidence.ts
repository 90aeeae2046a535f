import { closeSync, existsSync, openSync, readSync, writeSync } from 'node:fs';
import type { ConfirmedRecord, EffectRecord, HandledRecord } from '../../src/testing/ledger.js';

/** A handler was called. */
export interface BegunRecord {
  readonly type: 'begun';
  readonly queue: string;
  readonly id: string;
  readonly topic: string;
  readonly master: string;
  readonly epoch?: number | undefined;
  readonly attempt: number;
  readonly redelivered: boolean;
  /** What the publisher of the lab put in: its own count. */
  readonly sequence: number;
}

/** The signal of a running call was aborted. */
export interface AbortedRecord {
  readonly type: 'aborted';
  readonly queue: string;
  readonly id: string;
  readonly master: string;
  readonly epoch?: number | undefined;
}

/** A fenced publish was refused, or its outcome is not known. */
export interface RefusedRecord {
  readonly type: 'refused';
  readonly queue: string;
  readonly id: string;
  readonly master: string;
  readonly epoch?: number | undefined;
  readonly code: string;
}

/** What a master said of itself. */
export interface SaidRecord {
  readonly type: 'said';
  readonly master: string;
  readonly event: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export type Testimony =
  ConfirmedRecord | HandledRecord | EffectRecord | BegunRecord | AbortedRecord | RefusedRecord | SaidRecord;

/** `at` is a time that all processes of a machine share, in milliseconds. */
export type Evidence = Testimony & { readonly at: number };

/** The monotonic clock of the machine: other processes read the same. */
export function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Appends records to a file, each before the next statement runs: whatever ends the process, they are there. */
export class EvidenceWriter {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  write(testimony: Testimony): void {
    writeSync(this.#file, `${JSON.stringify({ ...testimony, at: machineNow() })}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

const CHUNK_BYTES = 262_144;
/** So that whoever reads slower than others write comes to an end. */
const CHUNKS_MAX = 8;

/** Reads what another process has appended since the last look, two megabytes at a time. */
export class EvidenceReader {
  readonly #path: string;
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #file: number | undefined;
  #rest = '';

  constructor(path: string) {
    this.#path = path;
  }

  read(): Evidence[] {
    if (this.#file === undefined && !existsSync(this.#path)) return [];
    this.#file ??= openSync(this.#path, 'r');
    const found: Evidence[] = [];
    for (let chunk = 0; chunk < CHUNKS_MAX; chunk++) {
      const count = readSync(this.#file, this.#chunk);
      if (count === 0) break;
      // Lines are ASCII but for what a test puts into a topic; none does.
      const lines = (this.#rest + this.#chunk.toString('latin1', 0, count)).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) found.push(JSON.parse(line) as Evidence);
    }
    return found;
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
