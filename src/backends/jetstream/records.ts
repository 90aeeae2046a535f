import type { StoredMsg } from '@nats-io/jetstream';
import type { Environment } from '../../model/clock.js';
import { FencedError } from '../../model/errors.js';
import { Code, errorCode } from './api-errors.js';
import type { Connection } from './connection.js';
import { blockOf, MESSAGE_ID, serverLine } from './headers.js';
import type { Inbox } from './inbox.js';
import { store } from './stored.js';

/** A record as its stream has it. */
export interface Found {
  readonly body: Uint8Array;
  /** Grows with each change of any record. */
  readonly revision: number;
  /** Unix time of the server, in milliseconds. */
  readonly at: number;
}

/** Small records, one for each subject, changed by compare-and-set. */
export class Records {
  readonly #connection: Connection;
  readonly #inbox: Inbox;
  readonly #environment: Environment;
  readonly #stream: string;

  constructor(connection: Connection, inbox: Inbox, environment: Environment, stream: string) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#environment = environment;
    this.#stream = stream;
  }

  /** As the leader of the stream has it: a copy elsewhere may be older. */
  async get(subject: string): Promise<Found | undefined> {
    const found = await this.#connection.api((jsm) =>
      jsm.streams.getMessage(this.#stream, { last_by_subj: subject }),
    );
    return found ? recordOf(found) : undefined;
  }

  /** Resolves with the new revision; rejects with a FencedError if it is not at `revision` any more; 0: there is none. */
  async put(subject: string, body: Uint8Array | string, revision: number): Promise<number> {
    const { clock, randomId } = this.#environment;
    const headers = blockOf(
      serverLine(MESSAGE_ID, randomId()) + serverLine('Nats-Expected-Last-Subject-Sequence', revision),
    );
    try {
      return (await store(this.#inbox, this.#connection, clock, { subject, body, headers })).seq;
    } catch (error) {
      // The answer to a first try may be lost, and the second then meets our own change.
      if (!(error instanceof FencedError)) throw error;
      const found = await this.get(subject);
      if (found && found.revision > revision && isSame(found.body, body)) return found.revision;
      throw error;
    }
  }

  /** Whether it was there at that revision, or an earlier one, and is gone now. */
  async remove(subject: string, revision: number): Promise<boolean> {
    const { purged } = await this.#connection.api((jsm) =>
      jsm.streams.purge(this.#stream, { filter: subject, seq: revision + 1 }),
    );
    return purged > 0;
  }

  async removeAll(subject: string): Promise<void> {
    await this.#connection.api((jsm) => jsm.streams.purge(this.#stream, { filter: subject }));
  }

  /** The subjects of records that match. */
  async subjects(filter: string): Promise<string[]> {
    const info = await this.#connection.api((jsm) =>
      jsm.streams.info(this.#stream, { subjects_filter: filter }),
    );
    return Object.keys(info.state.subjects ?? {});
  }
}

function recordOf(found: StoredMsg): Found {
  return { body: found.data, revision: found.seq, at: found.time.getTime() };
}

function isSame(one: Uint8Array, other: Uint8Array | string): boolean {
  return Buffer.from(one).equals(Buffer.from(other));
}

/** Of an operation on something that may have gone meanwhile. */
export async function unlessGone<T>(work: Promise<T>, ...codes: readonly number[]): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const code = errorCode(error);
    if (code !== undefined && (codes.includes(code) || code === Code.consumerNotFound)) return undefined;
    throw error;
  }
}
