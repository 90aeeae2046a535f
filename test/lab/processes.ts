import { readFileSync, readdirSync } from 'node:fs';

/** A process of this machine, as far as it may be looked at. */
export interface Seen {
  readonly pid: number;
  readonly isHub: boolean;
}

/** Names a laboratory in the environment of everything that it starts, and of what that starts in turn. */
export const MARK = 'SIGNALBOX_LAB';

/** The living processes of a laboratory, those included that nobody knows any more. */
export function processesOf(laboratory: string): Seen[] {
  const found: Seen[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (!read(`/proc/${pid}/environ`).split('\0').includes(`${MARK}=${laboratory}`)) continue;
    const isHub = /signalbox-hub|hub\.js|hub-program\.js|cli\.js hub/.test(
      read(`/proc/${pid}/cmdline`).replaceAll('\0', ' '),
    );
    found.push({ pid, isHub });
  }
  return found;
}

/** How many files, sockets and the like a process has open. */
export function openFilesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Bytes of memory that a process occupies. */
export function memoryOf(pid: number): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`)) ?? [];
  return Number(kilobytes) * 1_024;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // It has gone, or belongs to somebody else.
    return '';
  }
}
