import { statfsSync } from 'node:fs';

/** What the operating system says of a file system. */
export interface Volume {
  /** The number of its kind. */
  readonly type: number;
  readonly freeBytes: number;
}

export function volumeOf(folder: string): Volume {
  const { type, bavail, bsize } = statfsSync(folder);
  return { type, freeBytes: bavail * bsize };
}
