import { readFileSync } from 'node:fs';

/** A process, told apart from a later one that got the same id. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In ticks since boot; empty where the system does not tell. */
  readonly startedAt: string;
  readonly bootId: string;
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startedAt: startOf(pid), bootId: read('/proc/sys/kernel/random/boot_id') };
}

/** Whether that very process still lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== read('/proc/sys/kernel/random/boot_id')) return false;
  try {
    process.kill(identity.pid, 0);
  } catch (error) {
    // Another user's process lives as well.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return startOf(identity.pid) === identity.startedAt;
}

/** Undefined for what is no identity. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  try {
    const { pid, startedAt, bootId } = JSON.parse(text) as Partial<Record<keyof ProcessIdentity, unknown>>;
    if (!Number.isSafeInteger(pid) || Number(pid) < 1) return undefined;
    return { pid: Number(pid), startedAt: String(startedAt), bootId: String(bootId) };
  } catch {
    return undefined;
  }
}

function startOf(pid: number): string {
  // The name, in parentheses, may hold spaces and parentheses.
  const fields = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ');
  // A zombie is dead.
  return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}
