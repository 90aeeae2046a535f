import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Damage, folderError } from './folder-errors.js';

/** Says what the folder is, to people and to whoever opens it next. */
export const NOTE_FILE = 'signalbox.json';
const DRAFT = '.new';
/** Of the folder's layout. */
const FORMAT = 1;

/** What a folder is for, and what its data files are called. */
export interface FolderKind {
  /** In its note. */
  readonly name: 'file' | 'spool';
  /** Of a fresh folder. */
  readonly dataFile: string;
  readonly isDataFile: (name: string) => boolean;
}

export interface FolderNote {
  readonly signalbox: FolderKind['name'];
  readonly format: number;
  /** Once it is ready, a missing data file is a loss, and no longer a folder that is being made. */
  readonly state: 'creating' | 'ready';
  /** The data file: compacting makes a new one, and this is what puts it in the place of the old. */
  readonly data: string;
}

const OWNERS = new Map<unknown, string>([
  ['file', 'a hub'],
  ['spool', "a master's spool"],
]);

export function newNote({ name }: FolderKind, state: FolderNote['state'], data: string): FolderNote {
  return { signalbox: name, format: FORMAT, state, data };
}

export function readNote(folder: string, kind: FolderKind): FolderNote {
  let note: Partial<FolderNote> | null;
  try {
    note = JSON.parse(readFileSync(join(folder, NOTE_FILE), 'utf8')) as Partial<FolderNote> | null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code) throw error;
    note = null;
  }
  const owner = OWNERS.get(note?.signalbox);
  if (owner !== undefined && note?.signalbox !== kind.name)
    throw folderError(folder, `it belongs to ${owner}`, 'Give a folder of its own.');
  if (note?.signalbox === kind.name && typeof note.format === 'number' && note.format > FORMAT)
    throw folderError(
      folder,
      `it has format ${note.format}, and this signalbox knows up to ${FORMAT}`,
      'Upgrade signalbox here.',
    );
  if (note?.signalbox !== kind.name || note.format !== FORMAT || !isDataFile(kind, note.data))
    throw new Damage(`its ${NOTE_FILE} is not what signalbox writes`);
  return note as FolderNote;
}

/**
 * At once and for good: after a power loss there is the old note or the new one. Two processes may do it at the same
 * moment, where they find each other only by the folder: each has a draft of its own.
 */
export function writeNote(folder: string, note: FolderNote): void {
  const path = join(folder, NOTE_FILE);
  const draft = `${path}${DRAFT}${process.pid}-${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, `${JSON.stringify(note)}\n`, { flush: true });
  renameSync(draft, path);
  flushPath(folder);
}

/** Whether the file is a note that somebody is writing, or did not finish. */
export function isDraft(name: string): boolean {
  return name.startsWith(`${NOTE_FILE}${DRAFT}`);
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

function isDataFile(kind: FolderKind, name: unknown): name is string {
  return typeof name === 'string' && kind.isDataFile(name);
}
