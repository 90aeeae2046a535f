import { constants, readdirSync, rmSync } from 'node:fs';
import { access, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Damage, folderError } from './folder-errors.js';
import {
  isDraft,
  newNote,
  NOTE_FILE,
  readNote,
  writeNote,
  type FolderKind,
  type FolderNote,
} from './folder-note.js';
import type { Volume } from './volume.js';

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

/**
 * Checks a folder before anything is written into it, and creates it if it is missing. Whatever is in it that is not
 * signalbox's own stays untouched.
 */
export async function prepareFolder(
  folder: string,
  kind: FolderKind,
  volumeOf: (folder: string) => Volume,
): Promise<FolderNote> {
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
  if (names.length > 0 && !names.includes(NOTE_FILE) && !names.every(isDraft))
    throw folderError(
      folder,
      `there is something in it, and it is not signalbox's (${names.slice(0, 3).join(', ')})`,
      'Give a new or an empty folder.',
    );
  if (!names.includes(NOTE_FILE)) writeNote(folder, newNote(kind, 'creating', kind.dataFile));
  const note = readNote(folder, kind);
  const data = join(folder, note.data);
  const size = (await stat(data).catch(() => undefined))?.size;
  if (note.state === 'ready' && !size) throw new Damage(`its data file ${note.data} is missing or empty`);
  if (size !== undefined) await access(data, constants.R_OK | constants.W_OK);
  return note;
}

/** The data file is there from now on. What a compaction has left unfinished is removed. */
export function finishFolder(folder: string, kind: FolderKind, note: FolderNote): void {
  if (note.state !== 'ready') writeNote(folder, newNote(kind, 'ready', note.data));
  for (const name of readdirSync(folder)) {
    const file = name.replace(/-lock$/, '');
    if (kind.isDataFile(file) && file !== note.data) rmSync(join(folder, name), { force: true });
  }
}
