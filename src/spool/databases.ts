import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import { Damage } from '../folder/folder-checks.js';

/** The data file in the folder; LMDB keeps its lock beside it. */
export const DATA_FILE = 'spool.mdb';

/** What LMDB writes at this place of its first page. */
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 24;

/** Generation and sequence, which LMDB keeps in their order. */
export type Key = [generation: number, sequence: number];

/*
 * What the data file holds:
 *
 *   meta       'format' → the version of this layout; 'tenant' → which process has the spool, and its generation;
 *              'totals' → how many messages there are, and of how many bytes
 *   messages   generation, sequence → the packed message, sealed
 */
export interface Databases {
  readonly root: RootDatabase<Uint8Array, string>;
  readonly meta: Database<Uint8Array, string>;
  readonly messages: Database<Uint8Array, Key>;
}

/** Without `overlappingSync` the promise of a write resolves when it is flushed. */
export function openDatabases(folder: string): Databases {
  const path = join(folder, DATA_FILE);
  checkMagic(path);
  const root = open<Uint8Array, string>({ path, noSubdir: true, overlappingSync: false, encoding: 'binary' });
  const { lastPageNumber, pageSize } = root.getStats() as { lastPageNumber: number; pageSize: number };
  // A page that is not in the file would end the process when it is read.
  if (statSync(path).size < (lastPageNumber + 1) * pageSize) throw new Damage(`its ${DATA_FILE} is cut off`);
  return {
    root,
    meta: root.openDB({ name: 'meta', encoding: 'binary', useVersions: true }),
    messages: root.openDB({ name: 'messages', encoding: 'binary' }),
  };
}

/** LMDB ends the process when it opens a file that is none of its own. */
function checkMagic(path: string): void {
  if (!statSync(path, { throwIfNoEntry: false })?.size) return;
  const start = Buffer.alloc(MAGIC_AT + 4);
  const file = openSync(path, 'r');
  try {
    readSync(file, start, 0, start.length, 0);
  } finally {
    closeSync(file);
  }
  if (start.readUInt32LE(MAGIC_AT) !== MAGIC) throw new Damage(`its ${DATA_FILE} is no data file`);
}
