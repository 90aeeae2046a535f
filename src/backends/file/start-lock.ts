import { open, readFile, rename, stat, unlink } from 'node:fs/promises';
import type { Environment } from '../../model/clock.js';
import { identityOf, isAlive, parseIdentity } from '../../folder/process-identity.js';

/** Who starts a hub for longer than this is frozen: another may try. The store itself bars two hubs from one folder. */
const START_MAX_MS = 10_000;

/**
 * An exclusively created file that keeps masters from starting several hubs at once. Its holder may die at any moment:
 * it names the process, and is stale when that has gone, when another has its id, or when it is too old.
 *
 * Resolves with a function that gives it back, or with undefined if another holds it.
 */
export async function takeStartLock(
  path: string,
  environment: Environment,
): Promise<(() => Promise<void>) | undefined> {
  if (await create(path)) return () => unlink(path).catch(() => {});
  if (!(await isStale(path, environment))) return undefined;
  // Only one of those who see it stale can move it away.
  const aside = `${path}.${environment.randomId()}`;
  try {
    await rename(path, aside);
    await unlink(aside);
  } catch {
    return undefined;
  }
  return (await create(path)) ? () => unlink(path).catch(() => {}) : undefined;
}

async function create(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(identityOf(process.pid)));
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function isStale(path: string, { clock }: Environment): Promise<boolean> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
    const ageMs = clock.wall() - mtimeMs;
    const holder = parseIdentity(text);
    // It is created first and written then.
    if (!holder) return ageMs > 1_000;
    return ageMs > START_MAX_MS || !isAlive(holder);
  } catch {
    return false;
  }
}
