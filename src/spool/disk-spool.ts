import type { OwnEnvelope } from '../flow/outgoing.js';
import type { Spool, SpoolPlace, SpooledMessage } from '../flow/spool.js';
import { seal, unseal } from '../folder/seal.js';
import { DecodeError, toError } from '../model/errors.js';
import { packFields, unpackFields } from '../model/packed-fields.js';
import type { Clock } from '../model/clock.js';
import type { Databases, Key } from './databases.js';
import { RefusedFile } from './refused-file.js';
import { Room } from './room.js';
import { SpoolCommit } from './spool-commit.js';
import { leaveSpool, type Tenancy } from './tenancy.js';
import { compareKeys } from './writes.js';

export interface DiskSpoolOptions {
  readonly folder: string;
  readonly databases: Databases;
  readonly tenancy: Tenancy;
  readonly clock: Clock;
  readonly bytesMax: number;
  readonly freeBytes: () => number;
}

/** A spool in a folder, kept by LMDB. */
export class DiskSpool implements Spool {
  readonly generation: number;
  readonly #databases: Databases;
  readonly #tenancy: Tenancy;
  readonly #commit: SpoolCommit;
  readonly #refused: RefusedFile;
  readonly #room: Room;
  #messages: number;
  #bytes: number;
  #closing: Promise<void> | undefined;

  constructor({ folder, databases, tenancy, clock, bytesMax, freeBytes }: DiskSpoolOptions) {
    this.generation = tenancy.generation;
    this.#databases = databases;
    this.#tenancy = tenancy;
    this.#messages = tenancy.totals.messages;
    this.#bytes = tenancy.totals.bytes;
    this.#refused = new RefusedFile(folder);
    this.#commit = new SpoolCommit({
      ...{ folder, databases, tenancy, clock },
      totals: () => ({ messages: this.#messages, bytes: this.#bytes }),
      hasRoom: () => this.#room.hasRoomOnDisk,
      // They were counted, and are not there.
      notWritten: (puts, bytes) => {
        this.#messages -= puts;
        this.#bytes -= bytes;
      },
    });
    this.#room = new Room({
      ...{ folder, clock, bytesMax, freeBytes },
      spooledBytes: () => this.#bytes,
      refusedBytes: () => this.#refused.bytes,
      pendingBytes: () => this.#commit.pendingBytes,
    });
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get refusal(): Error | undefined {
    return this.#commit.failure ?? this.#room.refusal;
  }

  async put(place: SpoolPlace, envelope: OwnEnvelope): Promise<void> {
    if (this.#commit.failure) throw this.#commit.failure;
    const key = keyOf(place);
    const bytes = seal(packFields(envelope));
    this.#discount(key);
    this.#messages += 1;
    this.#bytes += bytes.length;
    return this.#commit.put(key, bytes);
  }

  remove(place: SpoolPlace): void {
    const key = keyOf(place);
    if (!this.#closing && this.#discount(key)) this.#commit.remove(key);
  }

  read(after: SpoolPlace | undefined, count: number): readonly SpooledMessage[] {
    if (this.#closing) return [];
    const found: SpooledMessage[] = [];
    const start: Key = after ? [after.generation, after.sequence + 1] : [0, 0];
    const barrier = this.#commit.firstPut;
    for (const { key, value } of this.#databases.messages.getRange({ start })) {
      if (found.length === count || (barrier && compareKeys(key, barrier) >= 0)) break;
      if (this.#commit.changes(key)) continue;
      found.push({ place: { generation: key[0], sequence: key[1] }, envelope: open(value) });
    }
    return found;
  }

  async setAside(place: SpoolPlace, reason: Error): Promise<void> {
    const key = keyOf(place);
    const sealed = this.#commit.changes(key)?.bytes ?? this.#databases.messages.getBinary(key);
    if (sealed) await this.#refused.add(open(sealed), sealed, reason);
    this.remove(place);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#commit.end();
    if (!this.#commit.failure) await leaveSpool(this.#tenancy, this.#databases).catch(() => {});
    await this.#databases.root.close();
  }

  /** What is at that place counts no more. False if there is nothing. */
  #discount(key: Key): boolean {
    const change = this.#commit.changes(key);
    const size = change ? change.bytes?.length : this.#databases.messages.getBinary(key)?.length;
    if (size === undefined) return false;
    this.#messages -= 1;
    this.#bytes -= size;
    return true;
  }
}

function keyOf({ generation, sequence }: SpoolPlace): Key {
  return [generation, sequence];
}

function open(sealed: Uint8Array): OwnEnvelope | Error {
  try {
    const { origin, ...envelope } = unpackFields(unseal('message', sealed));
    return origin ? { ...envelope, origin } : new DecodeError('A message in the spool has no number.');
  } catch (error) {
    return toError(error);
  }
}
