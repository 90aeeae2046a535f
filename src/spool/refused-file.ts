import { existsSync, statSync } from 'node:fs';
import { open, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Envelope } from '../model/message.js';

export const REFUSED_FILE = 'refused.jsonl';

/**
 * Messages that no broker takes, for people: a line of JSON each. Whoever has dealt with them deletes the file.
 *
 * A message leaves the spool when its line is flushed. Who died between the two has left a line of a message that will be
 * refused again, or a part of one: so what earlier runs have left is looked through once, before the first line of this run.
 */
export class RefusedFile {
  readonly #path: string;
  /** What earlier runs have written. */
  #earlier: Set<string> | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(folder: string) {
    this.#path = join(folder, REFUSED_FILE);
  }

  get bytes(): number {
    return statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** With its bytes, in case that they cannot be read. Resolves when it is flushed. Of one that has its line nothing is added. */
  add(envelope: Envelope | Error, bytes: Uint8Array, reason: Error): Promise<void> {
    if (envelope instanceof Error) {
      const base64 = Buffer.from(bytes).toString('base64');
      return this.#append(base64, lineOf({ reason: reason.message, base64 }));
    }
    const { id, topic, source, headers, payload } = envelope;
    const { body, types } = payload.encode();
    const time = new Date(envelope.time).toISOString();
    const said = { id, topic, time, source, headers, reason: reason.message, types };
    return this.#append(id, lineOf(said, body));
  }

  #append(name: string, line: string): Promise<void> {
    const written = this.#last.then(async () => {
      this.#earlier ??= await namesIn(this.#path);
      if (this.#earlier.has(name)) return;
      const file = await open(this.#path, 'a');
      try {
        await file.writeFile(line);
        await file.sync();
      } finally {
        await file.close();
      }
    });
    this.#last = written.catch(() => {});
    return written;
  }
}

/** Of whole lines; a part of one at the end is removed. */
async function namesIn(path: string): Promise<Set<string>> {
  if (!existsSync(path)) return new Set();
  const text = await readFile(path);
  const end = text.lastIndexOf('\n') + 1;
  if (end < text.length) await truncate(path, end);
  const lines = text.toString('utf8', 0, end).split('\n').slice(0, -1);
  return new Set(lines.flatMap((line) => nameOf(line) ?? []));
}

/** A line that people have changed may have none. */
function nameOf(line: string): string | undefined {
  try {
    const { id, base64 } = JSON.parse(line) as { id?: string; base64?: string };
    return id ?? base64;
  } catch {
    return undefined;
  }
}

function lineOf(said: object, body?: string): string {
  const line = JSON.stringify(said);
  return body === undefined ? `${line}\n` : `${line.slice(0, -1)},"data":${body === '' ? 'null' : body}}\n`;
}
