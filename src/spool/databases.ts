import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import { checkDataFile } from '../folder/data-file-check.js';

/** The data file in the folder; LMDB keeps its lock beside it. */
export const DATA_FILE = 'spool.mdb';

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

/** Throws a Damage if there is a data file with which LMDB cannot be trusted. */
export function openDatabases(folder: string): Databases {
  const path = join(folder, DATA_FILE);
  if (existsSync(path)) checkDataFile(path);
  const root = open<Uint8Array, string>({
    path,
    noSubdir: true,
    // The promise of a write resolves when it is flushed.
    overlappingSync: false,
    // Writes are gathered here. Beside that, this option leaves a rejection unhandled when a commit fails.
    eventTurnBatching: false,
    encoding: 'binary',
  });
  return {
    root,
    meta: root.openDB({ name: 'meta', encoding: 'binary', useVersions: true }),
    messages: root.openDB({ name: 'messages', encoding: 'binary' }),
  };
}
