import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, realpath } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { FolderError, toError } from '../../model/errors.js';

/** What a path of a socket may have; the kernel cuts a longer one off in silence or refuses it. */
const SOCKET_PATH_MAX_BYTES = 103;

/** Where the hub of a folder is found. */
export interface Places {
  /** The data, by its real path. */
  readonly folder: string;
  readonly socket: string;
  readonly startLock: string;
  /** What the last hub said before it failed. */
  readonly log: string;
}

/**
 * The places of a folder's hub. The socket lives in the system's runtime or temporary folder under a hash of the real
 * path, since a socket's path is short, in a folder that belongs to this user alone.
 */
export async function placesOf(folder: string): Promise<Places> {
  const path = await realFolder(folder);
  const base = await ownFolder();
  const name = join(base, createHash('sha256').update(path).digest('hex').slice(0, 24));
  const socket = `${name}.sock`;
  if (Buffer.byteLength(socket) > SOCKET_PATH_MAX_BYTES)
    throw new FolderError(
      `The path of a socket may have ${SOCKET_PATH_MAX_BYTES} bytes, "${socket}" has more. ` +
        'Set TMPDIR to a folder with a shorter path.',
    );
  return { folder: path, socket, startLock: `${name}.lock`, log: `${name}.log` };
}

async function realFolder(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true });
    return await realpath(folder);
  } catch (thrown) {
    throw new FolderError(
      `"${resolve(folder)}" cannot be a folder for a hub: ${toError(thrown).message}. ` +
        'Choose a folder that exists or can be made.',
      { cause: thrown },
    );
  }
}

async function ownFolder(): Promise<string> {
  const { uid } = userInfo();
  const folder = join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), `signalbox-${uid}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  if (!found.isDirectory() || (uid >= 0 && found.uid !== uid))
    throw new FolderError(`"${folder}" belongs to somebody else: sockets in it could be forged. Set TMPDIR.`);
  if ((found.mode & 0o077) !== 0) await chmod(folder, 0o700);
  return folder;
}
