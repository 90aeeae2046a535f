import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkDataFile } from '../../folder/data-file-check.js';
import { finishFolder, prepareFolder } from '../../folder/folder-checks.js';
import { toFolderError } from '../../folder/folder-errors.js';
import { readNote, type FolderNote } from '../../folder/folder-note.js';
import { volumeOf, type Volume } from '../../folder/volume.js';
import type { Environment } from '../../model/clock.js';
import { ConnectError, FolderError, toError } from '../../model/errors.js';
import type { Hub } from '../hub/hub.js';
import type { Journal } from '../hub/journal.js';
import { Ballast, makeRoom } from './ballast.js';
import type { Batch } from './batch.js';
import { Subject } from './change-list.js';
import { compact } from './compaction.js';
import { dataFileUsage, openDatabases, type Databases } from './databases.js';
import { GroupCommit } from './group-commit.js';
import {
  actAs,
  flagMessages,
  hasFolder,
  leaveFolder,
  takeFolder,
  writeAs,
  type Instance,
} from './instance.js';
import { Leftovers } from './leftovers.js';
import { Log, logFile } from './log.js';
import { packNumber, unpackNumber, unpackQueue, type QueueRecord } from './records.js';
import { noteLog, removeLogs, takeOverLogs } from './recovery.js';
import { Space } from './space.js';
import { STORE_FOLDER } from './store-folder.js';
import { StoreJournal } from './store-journal.js';
import { StoredQueue, type MessageMemory } from './stored-queue.js';
import { Table } from './table.js';

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
  /** Those that had queues when the folder was opened. */
  readonly namespaces: readonly string[];
  /** Settles when the store can go on no longer: nothing more becomes safe, and the process must end. */
  readonly failed: Promise<Error>;
  /** Nothing waits to be written. */
  readonly isIdle: boolean;
  /** No other hub has taken the folder by now. */
  readonly isOurs: boolean;
  /** The journal for the hub of that namespace. */
  journal(namespace: string): Journal;
  /** Brings the queues of that namespace back into a fresh hub that was made with its journal. */
  restore(namespace: string, hub: Hub): void;
  /** Gives the disk back what is not used any more, if that is much. Everything else waits meanwhile. */
  compact(): Promise<void>;
  /** Flushes, closes, and notes that nothing is under way: the next hub need not flag what it finds. */
  close(): Promise<void>;
}

const MEGABYTE = 2 ** 20;
/** Less is not worth a compaction. */
const COMPACTED_BYTES = 16 * MEGABYTE;

/**
 * Opens the folder for one hub process; creates it if it is missing. Rejects with a FolderError, or with a ConnectError if
 * another hub has taken the folder meanwhile.
 */
export async function openStore(folder: string, options: StoreOptions): Promise<Store> {
  const path = resolve(folder);
  const name = options.environment.randomId();
  for (;;) {
    let databases: Databases | undefined;
    try {
      const note = await prepareFolder(path, STORE_FOLDER, options.volumeOf ?? volumeOf);
      makeRoom(path, options.volumeOf ?? volumeOf);
      if (existsSync(join(path, note.data))) checkDataFile(join(path, note.data));
      databases = openDatabases(path, note.data);
      const instance = takeFolder(databases, name);
      // Another hub may have compacted the folder since the note was read.
      if (readNote(path, STORE_FOLDER).data === note.data) {
        begin(path, note, databases, instance);
        removeLogs(path, instance);
        return new LmdbStore(path, options, databases, instance, name);
      }
    } catch (error) {
      await databases?.root.close();
      throw error instanceof ConnectError ? error : toFolderError(path, error);
    }
    await databases.root.close();
  }
}

/** Whoever was frozen since it took the folder has another hub's before it, and leaves that alone. */
function begin(folder: string, note: FolderNote, databases: Databases, instance: Instance): void {
  const isBegun = actAs(instance, databases, () => {
    takeOverLogs(folder, databases, instance);
    flagMessages(databases, instance);
    finishFolder(folder, STORE_FOLDER, note);
  });
  if (!isBegun) throw new ConnectError(`Another hub serves "${folder}" by now. Masters use that one.`);
}

function takenFrom(folder: string): FolderError {
  return new FolderError(`Another hub has taken the folder "${folder}": this one can write no more.`);
}

class LmdbStore implements Store {
  readonly failed: Promise<Error>;
  #fail!: (error: Error) => void;
  readonly #journals = new Map<string, StoreJournal>();
  readonly #commit: GroupCommit;
  readonly #ballast: Ballast;
  readonly #space: Space;
  readonly namespaces: readonly string[];
  #kept: { number: number; record: QueueRecord }[];
  readonly #table: Table;
  readonly #log: Log;
  readonly #memory: MessageMemory = { bytes: 0 };
  #newestQueue: number;
  #compacting: Promise<void> | undefined;
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
    this.namespaces = [...new Set(this.#kept.map(({ record }) => record.namespace))];
    this.#newestQueue = unpackNumber(databases.meta.getBinary('queues'));
    this.#commit = new GroupCommit({
      clock: options.environment.clock,
      hasMore: () => this.#table.isDue,
      write: (batch) => this.#write(batch),
      failed: (error) => this.#end(error),
    });
    this.#ballast = new Ballast(folder, options.ballastBytes ?? 16 * MEGABYTE);
    this.#space = new Space(folder, options.reserveBytes ?? 64 * MEGABYTE, {
      clock: options.environment.clock,
      freeBytes: () => (options.volumeOf ?? volumeOf)(folder).freeBytes,
      dataFile: () => dataFileUsage(databases),
      pendingBytes: () => this.#table.pendingBytes,
      ballast: this.#ballast,
      tight: () => void this.compact(),
    });
    this.#table = new Table({
      databases,
      clock: options.environment.clock,
      space: this.#space,
      leftovers: new Leftovers(databases, new Set(this.#kept.map(({ number }) => number))),
      memory: this.#memory,
      residentBytesMax: options.residentBytesMax ?? 64 * MEGABYTE,
      commit: (write) => this.#commitOurs(write),
      due: () => this.#commit.start(),
    });
    this.#log = new Log(folder, logFile(instance.version, name), {
      hasPlentyBeside: (bytes) => this.#space.hasPlentyBeside(bytes),
      opened: () => this.#commitOurs(() => noteLog(databases, logFile(instance.version, name))),
    });
    if (this.#table.isDue) this.#commit.wake();
  }

  get isIdle(): boolean {
    return this.#commit.isIdle && this.#table.isIdle;
  }

  get isOurs(): boolean {
    return hasFolder(this.instance, this.databases);
  }

  journal(namespace: string): Journal {
    return this.#journal(namespace);
  }

  #journal(namespace: string): StoreJournal {
    let journal = this.#journals.get(namespace);
    if (!journal) {
      journal = new StoreJournal({
        commit: this.#commit,
        table: this.#table,
        refusal: () => this.#space.refusal,
        create: () => this.#create(namespace),
      });
      this.#journals.set(namespace, journal);
    }
    return journal;
  }

  restore(namespace: string, hub: Hub): void {
    const journal = this.#journal(namespace);
    const kept = this.#kept.filter(({ record }) => record.namespace === namespace);
    this.#kept = this.#kept.filter(({ record }) => record.namespace !== namespace);
    for (const { number, record } of kept) {
      const stored = new StoredQueue(this.databases, namespace, number, record.flaggedBefore, this.#memory);
      try {
        hub.restore(stored.restore(record));
      } catch (error) {
        throw toFolderError(this.folder, error);
      }
      journal.adopt(hub.queue(record.spec.name), stored);
    }
  }

  compact(): Promise<void> {
    return (this.#compacting ??= this.#compact()
      .catch((error: unknown) => this.#end(toError(error)))
      .finally(() => (this.#compacting = undefined)));
  }

  async #compact(): Promise<void> {
    if (this.#hasFailed || this.#closing) return;
    const done = this.#commit.pause(async () => {
      // What is only in the log hides what can be given back.
      if (!this.#table.isIdle) await this.#take();
      if (this.#isWorthCompacting) await compact(this.folder, this.databases, this.instance);
    });
    await Promise.race([done, this.failed]);
  }

  /** Half of the file is free, it is more than a little, and there is room for the copy. */
  get #isWorthCompacting(): boolean {
    const { usedBytes, reusableBytes } = dataFileUsage(this.databases);
    const copiedBytes = usedBytes - reusableBytes;
    return (
      reusableBytes >= Math.max(copiedBytes, COMPACTED_BYTES) && this.#space.hasRoomFor(1.25 * copiedBytes)
    );
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    // What waits for room waits no longer, a compaction among it.
    this.#space.end();
    await this.#compacting;
    await Promise.race([this.#commit.flush(), this.failed]);
    try {
      if (!this.#hasFailed) await Promise.race([this.#commit.pause(() => this.#leave()), this.failed]);
    } catch (error) {
      this.#end(toError(error));
    } finally {
      this.#commit.end();
      this.#table.end();
      await this.#ballast.close();
      await this.#log.close();
      await this.databases.root.close();
    }
  }

  async #leave(): Promise<void> {
    await this.#take();
    await leaveFolder(this.instance, this.databases, this.name);
    removeLogs(this.folder, this.instance);
    this.#commit.end();
  }

  #end(error: Error): void {
    this.#hasFailed = true;
    this.#commit.end();
    this.#fail(error);
  }

  #create(namespace: string): StoredQueue {
    this.#newestQueue++;
    const newest = packNumber(this.#newestQueue);
    this.#table.gathered.put(Subject.newestQueue, 0, 0, newest);
    this.#commit.gathered.changes.put(Subject.newestQueue, 0, 0, newest);
    return new StoredQueue(this.databases, namespace, this.#newestQueue, 0, this.#memory);
  }

  /** To the log; where that has no room, or the table is due, everything goes to the table. */
  async #write(batch: Batch): Promise<void> {
    if (!this.#table.isDue && (await this.#log.append(batch.changes, batch.number))) {
      // Whoever has taken the folder since read the log after that: so what was in it before the look is safe.
      if (!this.isOurs) throw takenFrom(this.folder);
      this.#table.watch();
      return;
    }
    await this.#take();
    this.#table.watch();
  }

  async #take(): Promise<void> {
    await this.#table.take(this.instance.version, this.#log.generation);
    this.#log.restart();
  }

  async #commitOurs(write: () => void): Promise<void> {
    if (!(await writeAs(this.instance, this.databases, write))) throw takenFrom(this.folder);
  }
}
