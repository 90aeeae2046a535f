import { resolve } from 'node:path';
import { finishFolder, prepareFolder } from '../folder/folder-checks.js';
import { toFolderError } from '../folder/folder-errors.js';
import type { FolderKind } from '../folder/folder-note.js';
import { volumeOf, type Volume } from '../folder/volume.js';
import type { Environment } from '../model/clock.js';
import type { Spool } from '../flow/spool.js';
import { DATA_FILE, openDatabases, type Databases } from './databases.js';
import { DiskSpool } from './disk-spool.js';
import { takeSpool } from './tenancy.js';

export interface SpoolFolderOptions {
  readonly environment: Environment;
  /** Of messages, with those that were set aside. */
  readonly bytesMax: number;
  /** What the operating system says of the folder's file system. */
  readonly volumeOf?: (folder: string) => Volume;
}

const SPOOL_FOLDER: FolderKind = {
  name: 'spool',
  dataFile: DATA_FILE,
  isDataFile: (name) => name === DATA_FILE,
};

/**
 * Opens a spool for this process; creates the folder if it is missing. Rejects with a FolderError, also as long as another
 * living process has it.
 */
export async function openSpool(folder: string, options: SpoolFolderOptions): Promise<Spool> {
  const path = resolve(folder);
  const askVolume = options.volumeOf ?? volumeOf;
  let databases: Databases | undefined;
  try {
    const note = await prepareFolder(path, SPOOL_FOLDER, askVolume);
    databases = openDatabases(path);
    const tenancy = takeSpool(path, databases);
    finishFolder(path, SPOOL_FOLDER, note);
    return new DiskSpool({
      folder: path,
      databases,
      tenancy,
      clock: options.environment.clock,
      bytesMax: options.bytesMax,
      freeBytes: () => askVolume(path).freeBytes,
    });
  } catch (error) {
    await databases?.root.close();
    throw toFolderError(path, error);
  }
}
