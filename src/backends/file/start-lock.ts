import { link, open, readFile, rename, stat, unlink } from 'node:fs/promises';
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
  const lock =
    (await create(path)) ?? ((await clearStale(path, environment)) ? await create(path) : undefined);
  return (
    lock &&
    (async () => {
      // Whoever held it for too long, being frozen, finds another's in its place.
      if ((await lockAt(path))?.text === lock.text) await unlink(path).catch(() => {});
    })
  );
}

interface Lock {
  readonly text: string;
  readonly touchedAt: number;
}

/** Undefined if there is one already. */
async function create(path: string): Promise<Lock | undefined> {
  const text = JSON.stringify({ ...identityOf(process.pid), number: ++taken });
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    return { text, touchedAt: 0 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

/** Tells apart what one process has taken one after the other. */
let taken = 0;

async function lockAt(path: string): Promise<Lock | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
    return { text, touchedAt: mtimeMs };
  } catch {
    return undefined;
  }
}

/** Whether the way is free now. */
async function clearStale(path: string, { clock, randomId }: Environment): Promise<boolean> {
  const found = await lockAt(path);
  if (!found || !isStale(found, clock.wall())) return false;
  // Only one of those who see it stale can move it away...
  const aside = `${path}.${randomId()}`;
  try {
    await rename(path, aside);
  } catch {
    return false;
  }
  // ...but it may be another's fresh one that stands there by now: that goes back, unless a third has come meanwhile.
  const isIt = (await lockAt(aside))?.text === found.text;
  if (!isIt) await link(aside, path).catch(() => {});
  await unlink(aside).catch(() => {});
  return isIt;
}

function isStale({ text, touchedAt }: Lock, now: number): boolean {
  const ageMs = now - touchedAt;
  const holder = parseIdentity(text);
  // It is created first and written then.
  if (!holder) return ageMs > 1_000;
  return ageMs > START_MAX_MS || !isAlive(holder);
}
