import { resolve } from 'node:path';
import type { Environment } from '../../model/clock.js';
import { finishFolder, prepareFolder, toFolderError, type FolderKind } from '../../folder/folder-checks.js';
import { volumeOf, type Volume } from '../../folder/volume.js';
import { FolderError } from '../../model/errors.js';
import type { Hub } from '../hub/hub.js';
import type { Journal } from '../hub/journal.js';
import { Ballast } from './ballast.js';
import type { Batch } from './batch.js';
import { DATA_FILE, openDatabases, reusableBytes, type Databases, type PlaceKey } from './databases.js';
import { GroupCommit } from './group-commit.js';
import { leaveFolder, takeFolder, writeAs, type Instance } from './instance.js';
import { unpackNumber, unpackQueue, type QueueRecord } from './records.js';
import { Space } from './space.js';
import { StoreJournal } from './store-journal.js';
import { keysFrom, StoredQueue, type MessageMemory } from './stored-queue.js';

export interface StoreOptions {
  readonly environment: Environment;
  /** With less on the disk, publishes are refused. 64 MB by default. */
  readonly reserveBytes?: number;
  /** Of a file that is given up when little is left, so that acks still find room. 16 MB by default. */
  readonly ballastBytes?: number;
  /** Of messages; the others are read when they are delivered. 64 MB by default. */
  readonly residentBytesMax?: number;
  /** What the operating system says of the folder's file system. */
  readonly volumeOf?: (folder: string) => Volume;
}

/** What keeps the hubs of a folder. */
export interface Store {
  /** The namespaces that have queues. */
  readonly namespaces: readonly string[];
  /** Settles when the store can go on no longer: nothing more becomes safe, and the process must end. */
  readonly failed: Promise<Error>;
  /** Nothing waits to be written. */
  readonly isIdle: boolean;
  /** The journal for the hub of that namespace. */
  journal(namespace: string): Journal;
  /** Brings the queues of that namespace back into a fresh hub that was made with its journal. */
  restore(namespace: string, hub: Hub): void;
  /** Gives the disk back what is not used any more. Not while a session is connected. */
  compact(): Promise<void>;
  /** Flushes, closes, and notes that nothing is under way: the next hub need not flag what it finds. */
  close(): Promise<void>;
}

const STATE: FolderKind = { name: 'file', dataFile: DATA_FILE };
const MEGABYTE = 2 ** 20;
/** So many leftovers of deleted queues are removed with one batch. */
const SWEPT_AT_ONCE = 2_000;

/** Opens the folder for one hub process; creates it if it is missing. Rejects with a FolderError. */
export async function openStore(folder: string, options: StoreOptions): Promise<Store> {
  const path = resolve(folder);
  let databases: Databases | undefined;
  try {
    await prepareFolder(path, STATE, options.volumeOf ?? volumeOf);
    databases = openDatabases(path);
    const name = options.environment.randomId();
    const store = new LmdbStore(path, options, databases, takeFolder(databases, name), name);
    await finishFolder(path, STATE);
    return store;
  } catch (error) {
    await databases?.root.close();
    throw toFolderError(path, error);
  }
}

class LmdbStore implements Store {
  readonly failed: Promise<Error>;
  #fail!: (error: Error) => void;
  readonly #journals = new Map<string, StoreJournal>();
  readonly #commit: GroupCommit;
  readonly #space: Space;
  readonly #kept: { number: number; record: QueueRecord }[];
  /** The numbers of queues that are gone, and whose messages are not. */
  readonly #leftovers: number[];
  readonly #memory: MessageMemory = { bytes: 0 };
  #newestQueue: number;
  #closing: Promise<void> | undefined;
  #hasFailed = false;

  constructor(
    readonly folder: string,
    readonly options: StoreOptions,
    readonly databases: Databases,
    readonly instance: Instance,
    readonly name: string,
  ) {
    this.failed = new Promise((resolve) => (this.#fail = resolve));
    this.#kept = [...databases.queues.getRange({ start: 0 })].map(({ key, value }) => ({
      number: key,
      record: unpackQueue(value),
    }));
    this.#leftovers = this.#findLeftovers();
    this.#newestQueue = unpackNumber(databases.meta.getBinary('queues'));
    this.#commit = new GroupCommit({
      clock: options.environment.clock,
      hasMore: () => this.#leftovers.length > 0,
      fill: (batch) => this.#sweep(batch),
      mayWrite: (batch) => this.#space.mayWrite(batch),
      write: (batch) => this.#write(batch),
      written: (batch) => this.#written(batch),
      failed: (error) => {
        this.#hasFailed = true;
        this.#fail(error);
      },
    });
    this.#space = new Space(folder, options.reserveBytes ?? 64 * MEGABYTE, {
      clock: options.environment.clock,
      freeBytes: () => (options.volumeOf ?? volumeOf)(folder).freeBytes,
      reusableBytes: () => reusableBytes(databases),
      pendingBytes: () => this.#commit.gathered.bytes + (this.#commit.inFlight?.bytes ?? 0),
      ballast: new Ballast(folder, options.ballastBytes ?? 16 * MEGABYTE),
      roomier: () => this.#commit.start(),
    });
    if (this.#leftovers.length > 0) this.#commit.wake();
  }

  get namespaces(): readonly string[] {
    return [...new Set(this.#kept.map(({ record }) => record.namespace))];
  }

  get isIdle(): boolean {
    return this.#commit.isIdle && this.#leftovers.length === 0;
  }

  journal(namespace: string): Journal {
    return this.#journal(namespace);
  }

  #journal(namespace: string): StoreJournal {
    let journal = this.#journals.get(namespace);
    if (!journal) {
      journal = new StoreJournal({
        commit: this.#commit,
        refusal: () => this.#space.refusal,
        create: () => this.#create(namespace),
      });
      this.#journals.set(namespace, journal);
    }
    return journal;
  }

  restore(namespace: string, hub: Hub): void {
    const journal = this.#journal(namespace);
    for (const { number, record } of this.#kept) {
      if (record.namespace !== namespace) continue;
      const stored = new StoredQueue(this.databases, namespace, number, record.flaggedBefore, this.#memory);
      try {
        hub.restore(stored.restore(record));
      } catch (error) {
        throw toFolderError(this.folder, error);
      }
      journal.adopt(hub.queue(record.spec.name), stored);
    }
  }

  async compact(): Promise<void> {
    // Nothing yet.
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    if (!this.#hasFailed) await Promise.race([this.#commit.flush(), this.failed]);
    this.#commit.end();
    if (!this.#hasFailed) await leaveFolder(this.instance, this.databases, this.name);
    await this.#space.close();
    await this.databases.root.close();
  }

  #create(namespace: string): StoredQueue {
    this.#newestQueue++;
    this.#commit.gathered.newestQueue = this.#newestQueue;
    return new StoredQueue(this.databases, namespace, this.#newestQueue, 0, this.#memory);
  }

  async #write(batch: Batch): Promise<void> {
    const isOurs = await writeAs(this.instance, this.databases, () => batch.write(this.databases));
    if (!isOurs)
      throw new FolderError(`Another hub has taken the folder "${this.folder}": this one can write no more.`);
  }

  #written(batch: Batch): void {
    batch.leaveMemory(this.#memory.bytes - (this.options.residentBytesMax ?? 64 * MEGABYTE));
    for (const { isWritten, number } of batch.emptied) if (isWritten) this.#leftovers.push(number);
  }

  #sweep(batch: Batch): void {
    const queue = this.#leftovers[0];
    if (queue === undefined) return;
    let left = SWEPT_AT_ONCE;
    const { entries, marks, letters } = this.databases;
    for (const places of [entries, marks, letters])
      for (const key of keysFrom(places, { queue, place: 0 }, left)) {
        batch.sweep(places, key);
        left--;
      }
    if (left === SWEPT_AT_ONCE) this.#leftovers.shift();
  }

  #findLeftovers(): number[] {
    const known = new Set(this.#kept.map(({ number }) => number));
    const found = new Set<number>();
    const { entries, marks, letters } = this.databases;
    for (const places of [entries, marks, letters])
      for (let queue: number | undefined = 0; queue !== undefined;) {
        const next: PlaceKey | undefined = [
          ...places.getKeys({ start: { queue, place: 0 }, end: END, limit: 1 }),
        ][0];
        if (next && !known.has(next.queue)) found.add(next.queue);
        queue = next && next.queue + 1;
      }
    return [...found];
  }
}

const END = { queue: 2 ** 32 - 1, place: Number.MAX_SAFE_INTEGER };
