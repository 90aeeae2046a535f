import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';

const ZEROS = Buffer.alloc(2 ** 18);

/** How much longer the file is than what is used of it. */
export function headroomOf(path: string, usedBytes: number): number {
  return Math.max(0, statSync(path).size - usedBytes);
}

/**
 * Makes the file so much longer than what is used of it, with real zeros: what is written there later finds its room
 * taken, whatever other programs do to the disk meanwhile. Says whether there was room.
 */
export async function claimHeadroom(path: string, usedBytes: number, bytes: number): Promise<boolean> {
  const file = await open(path, 'r+');
  try {
    const { size } = await file.stat();
    const end = usedBytes + bytes;
    try {
      for (let at = size; at < end;) {
        const { bytesWritten } = await file.write(ZEROS, 0, Math.min(ZEROS.length, end - at), at);
        if (bytesWritten === 0) break;
        at += bytesWritten;
      }
    } catch {
      await file.truncate(size);
    }
    return (await file.stat()).size >= end;
  } finally {
    await file.close();
  }
}
