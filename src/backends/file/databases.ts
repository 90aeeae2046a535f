import { join } from 'node:path';
import type { DataFileUsage } from './space.js';
import { open, type Database, type RootDatabase } from 'lmdb';

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
 *                 'queues' → the number of the newest queue; 'log' → how far the logs were taken over (see log.ts)
 *   queues        number of the queue → its record (see records.ts): namespace, name, id, settings, bindings, epoch
 *   checkpoints   number of the queue → the bytes
 *   entries       number of the queue, position → the packed message
 *   marks         the same key → attempts, flag and redrives, where they are not those of a fresh message
 *   letters       number of the queue, number of the letter → the dead letter
 *
 * They are exchanged when the data file is compacted: whoever has the object asks it anew each time.
 */
export interface Databases {
  root: RootDatabase<Uint8Array, string>;
  meta: Database<Uint8Array, string>;
  queues: Database<Uint8Array, number>;
  checkpoints: Database<Uint8Array, number>;
  entries: Places;
  marks: Places;
  letters: Places;
}

/** Of the databases: those with what a queue holds. */
export type Kind = 'entries' | 'marks' | 'letters';

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
 * flushed, then the page that makes it valid, and only then does the promise of a write resolve. With `noSync` nothing is.
 */
export function openDatabases(folder: string, file: string, { noSync = false } = {}): Databases {
  const root = open<Uint8Array, string>({
    path: join(folder, file),
    noSubdir: true,
    overlappingSync: false,
    noSync,
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

/** How far the data file is used, and how much within that is free for new records: it never shrinks by itself. */
export function dataFileUsage(databases: Databases): DataFileUsage {
  const { root, ...named } = databases;
  const pages = (tree: TreeStatistics) =>
    tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages;
  const all = root.getStats() as TreeStatistics & {
    readonly free: TreeStatistics;
    readonly lastPageNumber: number;
    readonly pageSize: number;
  };
  let inUse = META_PAGES + pages(all) + pages(all.free);
  for (const database of Object.values(named)) inUse += pages(database.getStats() as TreeStatistics);
  const filePages = all.lastPageNumber + 1;
  return {
    path: (root as unknown as { readonly path: string }).path,
    usedBytes: filePages * all.pageSize,
    reusableBytes: (filePages - inUse) * all.pageSize,
  };
}
