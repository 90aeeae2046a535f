import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { checkDataFile } from '../../src/folder/data-file-check.js';
import { readMeta } from '../../src/folder/data-pages.js';
import { rejection } from '../eventually.js';
import { messageOf, newFolder, openLab } from './store-lab.js';

const CHILD = join(import.meta.dirname, '../../dist/test/backends/store-damage-child.js');
const PAGE = 8192;

/** A folder with everything in it that can be, and with pages of all kinds. */
async function madeFolder(): Promise<string> {
  const folder = newFolder();
  const lab = await openLab(folder);
  for (const name of ['q', 'other']) lab.declare(name).save(Buffer.alloc(20_000, name));
  for (let number = 0; number < 1_500; number++) {
    const size = number % 40 === 0 ? 30_000 : number % 500;
    lab.hub.publish(messageOf(`m-${number}`, 'a', 'x'.repeat(size)));
    if (number % 100 === 0) await lab.safe();
  }
  await lab.safe();
  const taker = lab.taker('q', 300);
  taker.begin(1);
  lab.hub.operations.run(() => {
    for (const entry of [...taker.held].slice(0, 100)) {
      taker.queue.bury(entry, { reason: 'rejected', error: 'no', attempts: 1, history: [] });
      taker.queue.settle(taker, entry);
    }
  });
  taker.close();
  await lab.store.close();
  return folder;
}

async function refused(folder: string, what: RegExp): Promise<void> {
  const error = await rejection(openLab(folder));
  assert.equal(error.code, 'ERR_FOLDER', String(error.stack));
  assert.match(error.message, what);
  assert.match(error.message, /Put a backup in its place/);
}

describe('a damaged data file', () => {
  it('is refused with what is wrong, and stays as it is', async () => {
    const folder = await madeFolder();
    const file = join(folder, 'store-1.mdb');
    const good = readFileSync(file);
    const descriptor = openSync(file, 'r');
    const root = PAGE * readMeta(descriptor).main.root;
    closeSync(descriptor);
    const damages: [RegExp, (bytes: Buffer) => Buffer][] = [
      [/cut off/, (bytes) => bytes.subarray(0, 100)],
      [/cut off/, (bytes) => bytes.subarray(0, bytes.length / 2)],
      [/head is missing/, (bytes) => bytes.fill(0xaa, 0, 64)],
      [/head is missing/, (bytes) => bytes.fill(0, PAGE, 2 * PAGE)],
      [/version/, (bytes) => (bytes.writeUInt32LE(1, 28), bytes)],
      [/place of another/, (bytes) => bytes.fill(0, root, root + 8)],
      [/wrong kind/, (bytes) => bytes.fill(0, root + 16, root + 24)],
      [/damaged/, (bytes) => bytes.fill(0xff, root + 20, root + PAGE)],
    ];
    for (const [what, damage] of damages) {
      const damaged = damage(Buffer.from(good));
      writeFileSync(file, damaged);
      await refused(folder, what);
      assert.ok(readFileSync(file).equals(damaged));
    }
    writeFileSync(file, good);
    assert.equal((await openLab(folder)).held('other').length, 1_500);
  });

  it('may be longer than what is used of it', async () => {
    const folder = await madeFolder();
    const file = join(folder, 'store-1.mdb');
    truncateSync(file, readFileSync(file).length + 10 * PAGE);
    assert.equal((await openLab(folder)).held('other').length, 1_500);
  });

  it('is not seen where another hub is writing', { timeout: 60_000 }, async () => {
    const folder = newFolder();
    const lab = await openLab(folder);
    lab.declare('q');
    let checks = 0;
    let isDone = false;
    const checking = (async () => {
      while (!isDone) {
        checkDataFile(join(folder, 'store-1.mdb'));
        checks++;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let round = 0; round < 100; round++) {
      lab.publish(...Array.from({ length: 50 }, (_, number) => `m-${round}-${number}`));
      await lab.safe();
      const taker = lab.taker('q', 40);
      taker.ack(40);
      taker.close();
    }
    isDone = true;
    await checking;
    assert.ok(checks > 10);
  });

  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

  it(
    `of whatever kind is refused, or does not end the process (SEED=${seed})`,
    { timeout: 180_000 },
    async () => {
      const folder = await madeFolder();
      const { stdout, stderr } = spawnSync(process.execPath, [CHILD, folder, String(seed), '100']);
      const lines = stdout.toString().split('\n');
      assert.equal(lines.length, 101, `${lines.at(-1)} ${stderr}`);
      assert.deepEqual(
        lines.filter((line) => line.includes('wrong')),
        [],
      );
      assert.ok(lines.filter((line) => line.endsWith('refused')).length > 40, stdout.toString());
    },
  );
});
