/*
 * Damages a folder at random and opens it, again and again: LMDB ends the process at many kinds of damage, so this is a
 * process of its own. Arguments: a folder that was closed, a number for chance, how often. Says what came of each.
 */
import { cpSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { packEnvelope } from '../../src/backends/file/packed-envelope.js';
import { openStore, type Store } from '../../src/backends/file/store.js';
import type { Entry } from '../../src/backends/hub/queue-parts.js';
import { Hub } from '../../src/backends/hub/hub.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { FolderError } from '../../src/model/errors.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';

const [made, seed, count] = process.argv.slice(2);
const { random } = virtualEnvironment(Number(seed));
const below = (limit: number) => Math.floor(random() * limit);
const PAGE = 8192;

/** Changes what is in the file, or cuts it. */
function damage(bytes: Buffer): Buffer {
  const noise = (at: number, size: number) => {
    for (let byte = at; byte < Math.min(at + size, bytes.length); byte++) bytes[byte] = below(256);
  };
  const kind = below(6);
  if (kind === 0) noise(PAGE * below(bytes.length / PAGE), PAGE);
  else if (kind === 1) noise(below(bytes.length), 16);
  else if (kind === 2) for (let times = 0; times < 50; times++) noise(below(bytes.length), 1);
  else if (kind === 3) return bytes.subarray(0, below(bytes.length));
  else if (kind === 4) bytes.copy(bytes, PAGE * below(bytes.length / PAGE), 0, PAGE * 2);
  else bytes.fill(0, PAGE * below(bytes.length / PAGE), PAGE * below(bytes.length / PAGE));
  return bytes;
}

/** Reads and acks everything. */
async function use(folder: string): Promise<string> {
  let delivered = 0;
  let store: Store | undefined;
  try {
    store = await openStore(folder, { environment: systemEnvironment, ballastBytes: 0 });
    const hub = new Hub(systemEnvironment, store.journal('lab'));
    store.restore('lab', hub);
    for (const queue of hub.queues.values()) {
      const held = new Set<Entry>();
      const deliver = ({ envelope }: Entry) => void (delivered += packEnvelope(envelope).length > 0 ? 1 : 0);
      const taker = { held, prefetch: Infinity, hasCredit: true, deliver, lost() {} };
      hub.operations.run(() => queue.addTaker(taker));
      hub.operations.run(() => {
        for (const entry of held) queue.settle(taker, entry);
      });
    }
    return `opened ${delivered}`;
  } catch (error) {
    return error instanceof FolderError ? 'refused' : `wrong ${String(error)}`;
  } finally {
    await store?.close();
  }
}

for (let round = 0; round < Number(count); round++) {
  const folder = `${made}-${round}`;
  cpSync(made!, folder, { recursive: true });
  const file = join(folder, 'store-1.mdb');
  writeFileSync(file, damage(readFileSync(file)));
  // Said before, so that a crash leaves a line without an end.
  writeSync(1, `${round} `);
  writeSync(1, `${await use(folder)}\n`);
  rmSync(folder, { recursive: true });
}
// What node does at its end may wait for itself (node #54918), and nothing is left to be done.
process.kill(process.pid, 'SIGKILL');
