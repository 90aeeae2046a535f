import { link, open, readFile, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import type { Clock, Environment } from '../../model/clock.js';
import { identityOf, isAlive, parseIdentity } from '../../folder/process-identity.js';

/** A holder gives a sign of life so often, however long the hub takes to read its folder. */
const TOUCHED_EVERY_MS = 1_000;
/** One that has given none for so long is frozen: another may try. The store itself bars two hubs from one folder. */
const SILENT_MAX_MS = 10_000;

/**
 * An exclusively created file that keeps masters from starting several hubs at once. Its holder may die at any moment:
 * it names the process, and is stale when that has gone, when another has its id, or when it gives no sign of life.
 *
 * Resolves with a function that gives it back, or with undefined if another holds it.
 */
export async function takeStartLock(
  path: string,
  environment: Environment,
): Promise<(() => Promise<void>) | undefined> {
  const lock =
    (await create(path)) ?? ((await clearStale(path, environment)) ? await create(path) : undefined);
  if (!lock) return undefined;
  const rest = keepTouching(lock.file, environment.clock);
  return async () => {
    rest();
    // Whoever was frozen for too long finds another's in its place.
    if ((await lockAt(path))?.text === lock.text) await unlink(path).catch(() => {});
    await lock.file.close();
  };
}

/** By its handle: were it moved away meanwhile, the one in its place would not be touched. Returns what ends it. */
function keepTouching(file: FileHandle, clock: Clock): () => void {
  let timer = clock.setTimeout(touch, TOUCHED_EVERY_MS);
  function touch(): void {
    const now = clock.wall() / 1_000;
    void file.utimes(now, now).catch(() => {});
    timer = clock.setTimeout(touch, TOUCHED_EVERY_MS);
  }
  return () => clock.clearTimeout(timer);
}

interface Lock {
  readonly text: string;
  readonly touchedAt: number;
}

/** Undefined if there is one already. */
async function create(
  path: string,
): Promise<{ readonly text: string; readonly file: FileHandle } | undefined> {
  const text = JSON.stringify({ ...identityOf(process.pid), number: ++taken });
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'wx', 0o600);
    await file.writeFile(text);
    return { text, file };
  } catch (error) {
    await file?.close();
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
  return ageMs > SILENT_MAX_MS || !isAlive(holder);
}
