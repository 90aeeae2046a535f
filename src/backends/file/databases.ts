import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';

/** The data file in the folder; LMDB keeps its lock beside it. */
export const DATA_FILE = 'store.mdb';

/** Measured: a tenth faster than 4 KiB, at the same latency. */
export const PAGE_BYTES = 8192;
const META_PAGES = 2;

/** A place in a queue. LMDB writes a key down when it is given, so one object serves for many. */
export interface PlaceKey {
  queue: number;
  place: number;
}

/*
 * What the data file holds. Numbers in keys are big-endian, so that they are read in their order:
 *
 *   meta          'format' → the version of this layout; 'hub' → who has opened the folder last (see instance.ts);
 *                 'queues' → the number of the newest queue
 *   queues        number of the queue → its record (see records.ts): namespace, name, id, settings, bindings, epoch
 *   checkpoints   number of the queue → the bytes
 *   entries       number of the queue, position → the packed message
 *   marks         the same key → attempts, flag and redrives, where they are not those of a fresh message
 *   letters       number of the queue, number of the letter → the dead letter
 */
export interface Databases {
  readonly root: RootDatabase<Uint8Array, string>;
  readonly meta: Database<Uint8Array, string>;
  readonly queues: Database<Uint8Array, number>;
  readonly checkpoints: Database<Uint8Array, number>;
  readonly entries: Places;
  readonly marks: Places;
  readonly letters: Places;
}

export interface Places {
  getStats(): object;
  getBinary(key: PlaceKey): Uint8Array | undefined;
  getKeys(options: KeyRange): Iterable<PlaceKey>;
  getRange(options: KeyRange): Iterable<{ key: PlaceKey; value: Uint8Array }>;
  put(key: PlaceKey, value: Uint8Array): Promise<boolean>;
  remove(key: PlaceKey): Promise<boolean>;
}

interface KeyRange {
  readonly start: PlaceKey;
  readonly end: PlaceKey;
  readonly limit?: number;
  readonly reverse?: boolean;
}

const UINT32 = 2 ** 32;

const placeKeys = {
  /** 4 bytes of the queue's number, 8 of the place. */
  writeKey({ queue, place }: PlaceKey, target: Uint8Array, start: number): number {
    writeUint32(target, start, queue);
    writeUint32(target, start + 4, Math.floor(place / UINT32));
    writeUint32(target, start + 8, place % UINT32);
    return start + 12;
  },
  readKey(source: Uint8Array, start: number): PlaceKey {
    return {
      queue: readUint32(source, start),
      place: readUint32(source, start + 4) * UINT32 + readUint32(source, start + 8),
    };
  },
};

function writeUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

function readUint32(source: Uint8Array, at: number): number {
  return source[at]! * 2 ** 24 + ((source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!);
}

/**
 * Opens the data file, and creates what is missing of it. Without `overlappingSync` a commit is LMDB's own: the data is
 * flushed, then the page that makes it valid, and only then does the promise of a write resolve.
 */
export function openDatabases(folder: string): Databases {
  const root = open<Uint8Array, string>({
    path: join(folder, DATA_FILE),
    noSubdir: true,
    overlappingSync: false,
    // A batch is gathered here. Beside that, this option leaves a rejection unhandled when a commit fails.
    eventTurnBatching: false,
    pageSize: PAGE_BYTES,
    encoding: 'binary',
  });
  const places = (name: string) =>
    root.openDB({ name, encoding: 'binary', keyEncoder: placeKeys } as { name: string }) as unknown as Places;
  return {
    root,
    meta: root.openDB({ name: 'meta', encoding: 'binary', useVersions: true }),
    queues: root.openDB({ name: 'queues', encoding: 'binary', keyEncoding: 'uint32' }),
    checkpoints: root.openDB({ name: 'checkpoints', encoding: 'binary', keyEncoding: 'uint32' }),
    entries: places('entries'),
    marks: places('marks'),
    letters: places('letters'),
  };
}

interface TreeStatistics {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

/** How many bytes of the data file are free for new records: a file never shrinks by itself. */
export function reusableBytes(databases: Databases): number {
  const { root, ...named } = databases;
  const pages = (tree: TreeStatistics) =>
    tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages;
  const all = root.getStats() as TreeStatistics & {
    readonly free: TreeStatistics;
    readonly lastPageNumber: number;
    readonly pageSize: number;
  };
  let used = META_PAGES + pages(all) + pages(all.free);
  for (const database of Object.values(named)) used += pages(database.getStats() as TreeStatistics);
  return (all.lastPageNumber + 1 - used) * all.pageSize;
}
