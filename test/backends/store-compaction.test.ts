import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { seededChance } from '../../src/testing/virtual-clock.js';
import { messageOf, newFolder, openLab, type Lab } from './store-lab.js';

const TEXT = 'x'.repeat(10_000);

/** A folder with 30 MB of which most is free. */
async function sparseLab(folder: string): Promise<Lab> {
  const lab = await openLab(folder, { residentBytesMax: 0 });
  lab.declare('q');
  for (let number = 0; number < 3_000; number++) lab.hub.publish(messageOf(`m-${number}`, 'a', TEXT));
  await lab.safe();
  const taker = lab.taker('q');
  lab.hub.operations.run(() => {
    for (const entry of [...taker.held]) if (entry.position % 100 !== 1) taker.queue.settle(taker, entry);
  });
  taker.close();
  await lab.safe();
  return lab;
}

const kept = Array.from({ length: 30 }, (_, number) => `m-${number * 100}`);
const dataFiles = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('store-'));
const unflagged = (ids: string[]) => ids.map((id) => id.replace('!', ''));

describe('compacting', () => {
  it('gives the disk back what is not used, and keeps the rest', async () => {
    const folder = newFolder();
    const lab = await sparseLab(folder);
    assert.ok(statSync(join(folder, 'store-1.mdb')).size > 30e6);
    await lab.store.compact();
    assert.deepEqual(dataFiles(folder), ['store-2.mdb', 'store-2.mdb-lock']);
    assert.ok(statSync(join(folder, 'store-2.mdb')).size < 2e6);
    assert.deepEqual(lab.held('q'), kept);
    lab.publish('later');
    await lab.safe();
    await lab.store.close();
    assert.deepEqual((await openLab(folder)).held('q'), [...kept, 'later']);
  });

  it(
    'leaves a data file that goes on taking and giving back room, also when it was compacted in the midst of that',
    { timeout: 60_000 },
    async () => {
      const folder = newFolder();
      const lab = await openLab(folder, { residentBytesMax: 0 });
      lab.declare('q');
      const { random } = seededChance(1);
      let published = 0;
      const left: string[] = [];
      for (let round = 0; round < 6; round++) {
        const count = 800 + Math.floor(random() * 800);
        for (let number = 0; number < count; number++) {
          const id = `m-${published++}`;
          left.push(id);
          lab.hub.publish(messageOf(id, 'a', TEXT.repeat(2)));
          if (random() < 0.05) await lab.safe();
        }
        const taker = lab.taker('q');
        while (left.length > 50) {
          taker.ack(300);
          left.splice(0, 300);
          if (random() < 0.3) await lab.store.compact();
          if (random() < 0.7) await lab.safe();
        }
        taker.close();
        await lab.safe();
      }
      assert.ok(!dataFiles(folder).includes('store-1.mdb'));
      assert.deepEqual(unflagged(lab.held('q')), left);
      await lab.store.close();
      assert.deepEqual(unflagged((await openLab(folder)).held('q')), left);
    },
  );

  it('happens between two batches, while messages are read', async () => {
    const folder = newFolder();
    const lab = await sparseLab(folder);
    const ids: string[] = [];
    lab.publish('in flight');
    const flushed = lab.safe();
    const compacted = lab.store.compact();
    lab.publish('gathered');
    const safe: string[] = [];
    lab.store.journal('lab').afterFlush(() => safe.push('gathered'));
    let isCompacted = false;
    void compacted.then(() => (isCompacted = true));
    while (!isCompacted) {
      const taker = lab.taker('q', 30);
      ids.splice(0, ids.length, ...taker.taken);
      taker.close();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(ids.slice(0, 30), kept);
    await flushed;
    await lab.safe();
    assert.deepEqual(safe, ['gathered']);
    assert.deepEqual(lab.held('q'), [...kept, 'in flight', 'gathered']);
  });

  it('is not done for little', async () => {
    const folder = newFolder();
    const lab = await openLab(folder);
    lab.declare('q');
    lab.publish('m');
    await lab.safe();
    await lab.store.compact();
    assert.deepEqual(dataFiles(folder), ['store-1.mdb', 'store-1.mdb-lock']);
  });

  it('leaves a folder to the hub that has taken it', async () => {
    const folder = newFolder();
    const first = await sparseLab(folder);
    const second = await openLab(folder);
    await first.store.compact();
    assert.match((await first.store.failed).message, /Another hub has taken the folder/);
    second.publish('second');
    await second.safe();
    assert.deepEqual(unflagged(second.held('q')), [...kept, 'second']);
    assert.deepEqual(dataFiles(folder), ['store-1.mdb', 'store-1.mdb-lock']);
  });

  it('stops whoever had the folder before', async () => {
    const folder = newFolder();
    const first = await sparseLab(folder);
    const second = await openLab(folder);
    await second.store.compact();
    first.publish('too late');
    assert.match((await first.store.failed).message, /Another hub has taken the folder/);
    await first.store.close();
    await second.store.close();
    assert.deepEqual(unflagged((await openLab(folder)).held('q')), kept);
  });

  it('that was cut off is forgotten at the next opening', async () => {
    const folder = newFolder();
    const lab = await openLab(folder);
    lab.declare('q');
    lab.publish('m');
    await lab.store.close();
    writeFileSync(join(folder, 'store-2.mdb'), 'half a copy');
    writeFileSync(join(folder, 'store-2.mdb-lock'), '');
    writeFileSync(join(folder, 'notes.txt'), 'kept');
    assert.deepEqual((await openLab(folder)).held('q'), ['m']);
    assert.deepEqual(dataFiles(folder), ['store-1.mdb', 'store-1.mdb-lock']);
    assert.equal(readFileSync(join(folder, 'notes.txt'), 'utf8'), 'kept');
  });
});
