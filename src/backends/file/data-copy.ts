import { committed } from '../../folder/commits.js';
import type { Databases } from './databases.js';

/** So much is one transaction of the copy. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** What the databases have in common here. */
interface Records {
  getKeys(options: { readonly start?: unknown }): Iterable<unknown>;
  getBinary(key: unknown): Uint8Array | undefined;
  put(key: unknown, value: Uint8Array): Promise<boolean>;
}

/**
 * Copies every record while nobody writes. LMDB's own copy is not used: it gives data files that take some more writes and
 * then fail within LMDB (https://github.com/kriszyp/lmdb-js/issues/198).
 */
export async function copyRecords(from: Databases, to: Databases): Promise<void> {
  await copyMeta(from, to);
  for (const name of ['queues', 'checkpoints', 'entries', 'marks', 'letters'] as const)
    await copyAll(from[name] as unknown as Records, to[name] as unknown as Records);
}

/** Its records have versions. */
async function copyMeta({ meta }: Databases, to: Databases): Promise<void> {
  const writes = [...meta.getKeys()].map((key) =>
    to.meta.put(key, meta.getBinary(key)!, meta.getEntry(key)!.version!),
  );
  await Promise.all(writes.map(committed));
}

async function copyAll(from: Records, to: Records): Promise<void> {
  let last: Key | undefined;
  do last = await copyChunk(from, to, last);
  while (last);
}

interface Key {
  readonly key: unknown;
}

/** Goes on behind that key. Returns the last one it has copied, or nothing if that was the end. */
async function copyChunk(from: Records, to: Records, after: Key | undefined): Promise<Key | undefined> {
  const writes: Promise<boolean>[] = [];
  let bytes = 0;
  let last: Key | undefined;
  let skips = after ? 1 : 0;
  for (const key of from.getKeys(after ? { start: after.key } : {})) {
    if (skips-- > 0) continue;
    const value = from.getBinary(key)!;
    writes.push(to.put(key, value));
    bytes += value.length;
    if (bytes >= CHUNK_BYTES) {
      last = { key };
      break;
    }
  }
  await Promise.all(writes.map(committed));
  return last;
}
