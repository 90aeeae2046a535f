import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { FolderError } from '../../model/errors.js';
import { flushPath, newNote, readNote, writeNote } from '../../folder/folder-note.js';
import { copyRecords } from './data-copy.js';
import { openDatabases, type Databases } from './databases.js';
import { handOver, type Instance } from './instance.js';
import { nextDataFile, STORE_FOLDER } from './store-folder.js';

/**
 * Copies what is in use to a new data file and puts that in the place of the old one. The note decides which of the two is
 * the data file. It is changed while no other hub can write, and only if none has taken the folder; one that opens the old
 * file meanwhile looks at the note again before it relies on it. Called while nothing is being written.
 */
export async function compact(folder: string, databases: Databases, instance: Instance): Promise<void> {
  const old = { ...databases };
  const { data } = readNote(folder, STORE_FOLDER);
  const next = nextDataFile(data);
  removeData(folder, next);
  try {
    await copyTo(folder, next, old);
  } catch {
    // The disk had no room for the copy after all. The old file is as good as before.
    removeData(folder, next);
    return;
  }
  // Opened before the old one is closed: messages can be read at any time.
  const fresh = openDatabases(folder, next);
  if (!handOver(instance, old, () => writeNote(folder, newNote(STORE_FOLDER, 'ready', next)))) {
    await fresh.root.close();
    removeData(folder, next);
    throw new FolderError(`Another hub has taken the folder "${folder}": this one can write no more.`);
  }
  Object.assign(databases, fresh);
  await old.root.close();
  removeData(folder, data);
}

/** Flushed at the end only: before that nobody relies on it. */
async function copyTo(folder: string, file: string, from: Databases): Promise<void> {
  const copy = openDatabases(folder, file, { noSync: true });
  try {
    await copyRecords(from, copy);
  } finally {
    await copy.root.close();
  }
  flushPath(join(folder, file));
}

function removeData(folder: string, name: string): void {
  for (const file of [name, `${name}-lock`]) rmSync(join(folder, file), { force: true });
}
