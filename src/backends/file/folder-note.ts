import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Damage, folderError } from './folder-errors.js';

/** Says what the folder is, to people and to the next hub. */
export const NOTE_FILE = 'signalbox.json';
/** Of the folder's layout. */
const FORMAT = 1;

export interface FolderNote {
  readonly signalbox: 'file';
  readonly format: number;
  /** Once it is ready, a missing data file is a loss, and no longer a folder that is being made. */
  readonly state: 'creating' | 'ready';
  /** The data file: compacting makes a new one, and this is what puts it in the place of the old. */
  readonly data: string;
}

export function newNote(state: FolderNote['state'], data: string): FolderNote {
  return { signalbox: 'file', format: FORMAT, state, data };
}

export function readNote(folder: string): FolderNote {
  let note: Partial<FolderNote> | null;
  try {
    note = JSON.parse(readFileSync(join(folder, NOTE_FILE), 'utf8')) as Partial<FolderNote> | null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code) throw error;
    note = null;
  }
  if (note?.signalbox === 'file' && typeof note.format === 'number' && note.format > FORMAT)
    throw folderError(
      folder,
      `it has format ${note.format}, and this signalbox knows up to ${FORMAT}`,
      'Upgrade signalbox here.',
    );
  if (note?.signalbox !== 'file' || note.format !== FORMAT || !isDataFile(note.data))
    throw new Damage(`its ${NOTE_FILE} is not what signalbox writes`);
  return note as FolderNote;
}

/** At once and for good: after a power loss there is the old note or the new one. */
export function writeNote(folder: string, note: FolderNote): void {
  const path = join(folder, NOTE_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(note)}\n`, { flush: true });
  renameSync(`${path}.new`, path);
  flushPath(folder);
}

/** What the file, or the folder, holds survives a power loss. */
export function flushPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

export function dataFile(number: number): string {
  return `store-${number}.mdb`;
}

export function nextDataFile(name: string): string {
  return dataFile(Number(/\d+/.exec(name)) + 1);
}

export function isDataFile(name: unknown): name is string {
  return typeof name === 'string' && /^store-\d{1,15}\.mdb$/.test(name);
}
