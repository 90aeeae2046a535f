import { FolderError } from '../model/errors.js';

/** A folder that is not as it was left. */
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
