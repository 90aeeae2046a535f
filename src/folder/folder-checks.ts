import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FolderError } from '../model/errors.js';
import type { Volume } from './volume.js';

/** What a folder is for. */
export interface FolderKind {
  /** In its note. */
  readonly name: 'file' | 'spool';
  readonly dataFile: string;
}

/** Says what the folder is, to people and to whoever opens it next. */
const NOTE_FILE = 'signalbox.json';
/** Of the folder's layout. */
const FORMAT = 1;

/** File systems that are shared over a network, or may be: neither the locks nor the memory map of LMDB hold there. */
const NETWORKS = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB 2'],
  [0x01021997, '9p'],
  [0x6a656a63, 'virtiofs'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x73757245, 'Coda'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x01161970, 'GFS2'],
  [0x7461636f, 'OCFS2'],
  [0x19830326, 'BeeGFS'],
  // sshfs and a local exFAT look alike from here.
  [0x65735546, 'FUSE'],
]);

/** A folder that is not as it should be. */
export class Damage extends Error {}

/** Names the folder, says what is wrong with it and what to do. */
export function folderError(folder: string, problem: string, cure: string, cause?: unknown): FolderError {
  return new FolderError(`The folder "${folder}" cannot be used: ${problem}. ${cure}`, { cause });
}

/** What went wrong with the files of a folder, as a FolderError. */
export function toFolderError(folder: string, error: unknown): FolderError {
  if (error instanceof FolderError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const refuse = (problem: string, cure: string) => folderError(folder, problem, cure, error);
  switch (code) {
    case 'ENOTDIR':
    case 'EEXIST':
      return refuse('it, or a part of its path, is a file', 'Pick another path.');
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return refuse('it may not be written', 'Give this user the right to read and write all that is in it.');
    case 'ENOSPC':
    case 'EDQUOT':
      return refuse('its disk is full', 'Make room on it.');
    default:
      return refuse(
        error instanceof Damage ? message : `it may be damaged (${message})`,
        'Put a backup in its place, or move it away to begin with nothing.',
      );
  }
}

/**
 * Checks a folder before anything is written into it, and creates it if it is missing. Whatever is in it that is not
 * signalbox's own stays untouched.
 */
export async function prepareFolder(
  folder: string,
  kind: FolderKind,
  volumeOf: (folder: string) => Volume,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const network = NETWORKS.get(volumeOf(folder).type);
  if (network)
    throw folderError(
      folder,
      `it is, or may be, on a network (${network})`,
      kind.name === 'file'
        ? 'A hub needs a local disk; for masters on several machines use a broker.'
        : 'A spool needs a local disk.',
    );
  const names = (await readdir(folder)).filter((name) => name !== 'lost+found');
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  const note = names.includes(NOTE_FILE)
    ? readNote(folder, kind, await readFile(join(folder, NOTE_FILE), 'utf8'))
    : undefined;
  if (!note && names.length > 0)
    throw folderError(
      folder,
      `there is something in it, and it is not signalbox's (${names.slice(0, 3).join(', ')})`,
      'Give a new or an empty folder.',
    );
  if (note?.state === 'ready') {
    const { size } = await stat(join(folder, kind.dataFile)).catch(() => ({ size: 0 }));
    if (size === 0) throw new Damage(`its data file ${kind.dataFile} is missing or empty`);
    await access(join(folder, kind.dataFile), constants.R_OK | constants.W_OK);
    return;
  }
  if (!note) await writeNote(folder, kind, 'creating');
}

/** The data file is there from now on: if it is ever missing, something has gone wrong. */
export async function finishFolder(folder: string, kind: FolderKind): Promise<void> {
  const { state } = readNote(folder, kind, await readFile(join(folder, NOTE_FILE), 'utf8'));
  if (state !== 'ready') await writeNote(folder, kind, 'ready');
}

const OWNERS: Readonly<Record<string, string>> = { file: 'a hub', spool: "a master's spool" };

interface Note {
  readonly signalbox: FolderKind['name'];
  readonly format: number;
  readonly state: 'creating' | 'ready';
}

function readNote(folder: string, kind: FolderKind, text: string): Note {
  let note: Partial<Note> | null;
  try {
    note = JSON.parse(text) as Partial<Note> | null;
  } catch {
    note = null;
  }
  const other = note && OWNERS[String(note.signalbox)];
  if (other !== undefined && note!.signalbox !== kind.name)
    throw folderError(folder, `it belongs to ${other}`, 'Give a folder of its own.');
  if (note?.signalbox !== kind.name || typeof note.format !== 'number')
    throw new Damage(`its ${NOTE_FILE} is not what signalbox writes`);
  if (note.format > FORMAT)
    throw folderError(
      folder,
      `it has format ${note.format}, and this signalbox knows up to ${FORMAT}`,
      'Upgrade signalbox here.',
    );
  return note as Note;
}

async function writeNote(folder: string, kind: FolderKind, state: Note['state']): Promise<void> {
  const note: Note = { signalbox: kind.name, format: FORMAT, state };
  const path = join(folder, NOTE_FILE);
  await writeFile(`${path}.new`, `${JSON.stringify(note)}\n`, { flush: true });
  await rename(`${path}.new`, path);
  await flushFolder(folder);
}

/** The names in it survive a power loss. */
export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
