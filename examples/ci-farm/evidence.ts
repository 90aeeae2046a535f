import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { FarmRecord } from './records.js';

/** CLOCK_MONOTONIC: the same for all processes of a machine, so that what they note can be compared. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

const CHUNK_BYTES = 65_536;
const NEW_LINE = 10;

/** A line of JSON for each record. It is in the file when `write` returns: kill -9 a moment later does not lose it. */
export class EvidenceWriter {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  write(record: FarmRecord): void {
    writeSync(this.#file, `${JSON.stringify([monotonicMs(), record])}\n`);
  }
}

/** Reads what another process writes, while it does. */
export class EvidenceReader {
  readonly #file: number;
  readonly #tell: (record: FarmRecord, at: number) => void;
  /** The beginning of a line whose end has not been read. */
  #rest = Buffer.alloc(0);

  constructor(path: string, tell: (record: FarmRecord, at: number) => void) {
    this.#file = openSync(path, 'a+');
    this.#tell = tell;
  }

  /** Tells everything that was written since the last time. */
  read(): void {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (let size; (size = readSync(this.#file, chunk)) > 0;) {
      const text = Buffer.concat([this.#rest, chunk.subarray(0, size)]);
      const end = text.lastIndexOf(NEW_LINE) + 1;
      this.#rest = text.subarray(end);
      for (const line of text.toString('utf8', 0, end).split('\n')) {
        if (line === '') continue;
        const [at, record] = JSON.parse(line) as [number, FarmRecord];
        this.#tell(record, at);
      }
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}
