import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Envelope } from '../model/message.js';

export const REFUSED_FILE = 'refused.jsonl';

/** Messages that no broker takes, for people: a line of JSON each. Whoever has dealt with them deletes the file. */
export class RefusedFile {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();

  constructor(folder: string) {
    this.#path = join(folder, REFUSED_FILE);
  }

  get bytes(): number {
    return statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** With its bytes, in case that they cannot be read. Resolves when it is flushed. */
  add(envelope: Envelope | Error, bytes: Uint8Array, reason: Error): Promise<void> {
    if (envelope instanceof Error)
      return this.#append(lineOf({ reason: reason.message, base64: Buffer.from(bytes).toString('base64') }));
    const { id, topic, source, headers, payload } = envelope;
    const { body, types } = payload.encode();
    const time = new Date(envelope.time).toISOString();
    const said = { id, topic, time, source, headers, reason: reason.message, types };
    return this.#append(lineOf(said, body));
  }

  #append(line: string): Promise<void> {
    const written = this.#last.then(async () => {
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

function lineOf(said: object, body?: string): string {
  const line = JSON.stringify(said);
  return body === undefined ? `${line}\n` : `${line.slice(0, -1)},"data":${body === '' ? 'null' : body}}\n`;
}
