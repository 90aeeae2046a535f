import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { eventually } from '../eventually.js';
import { openDatabases } from '../../src/backends/file/databases.js';
import { actAs, takeFolder } from '../../src/backends/file/instance.js';
import { takeOverLogs } from '../../src/backends/file/recovery.js';
import { messageOf, newFolder, openLab } from './store-lab.js';

const CHILD = join(import.meta.dirname, '../../dist/test/backends/store-child.js');
const FROZEN_CHILD = join(import.meta.dirname, '../../dist/test/backends/store-frozen-child.js');
const ROUNDS = 25;

/** Runs a hub until it has said so many lines, and kills it in whatever it does then. Returns what it said. */
async function runUntilKilled(folder: string, seed: number, lines: number, next: number): Promise<string> {
  const child = spawn(process.execPath, [CHILD, folder, String(seed), String(next)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let wrong = '';
  let count = 0;
  child.stderr.on('data', (chunk: Buffer) => (wrong += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => {
    const text = chunk.toString();
    said += text;
    count += text.split('\n').length - 1;
    if (count >= lines) child.kill('SIGKILL');
  });
  await once(child, 'close');
  assert.equal(child.signalCode, 'SIGKILL', wrong);
  // The last line may have been cut.
  return said.slice(0, said.lastIndexOf('\n'));
}

describe('a hub that is frozen', () => {
  it('commits nothing when it thaws, if another has opened the folder', async () => {
    const folder = newFolder();
    const child = spawn(process.execPath, [FROZEN_CHILD, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually('its first message is safe', () => said.includes('confirmed in time'));
    child.kill('SIGSTOP');
    const lab = await openLab(folder);
    lab.publish('meanwhile');
    await lab.safe();
    child.kill('SIGCONT');
    await once(child, 'close');
    assert.match(said, /^confirmed in time\nAnother hub has taken the folder/);
    assert.deepEqual(lab.held('q'), ['in time!', 'meanwhile']);
    await lab.store.close();
    assert.deepEqual((await openLab(folder)).held('q'), ['in time!', 'meanwhile']);
  });
});

describe('a hub that is frozen while it starts', () => {
  // Before it has opened the data file, and when it has taken the folder.
  it.each([2, 3])("leaves its successor's data file alone (look %i)", { timeout: 20_000 }, async (look) => {
    const folder = newFolder();
    const former = await openLab(folder);
    former.declare('q');
    const texts = Array.from({ length: 30 }, (_, number) =>
      messageOf(`m-${number}`, 'a', 'x'.repeat(1_000_000)),
    );
    for (const message of texts) {
      former.hub.publish(message);
      await former.safe();
    }
    const taker = former.taker('q');
    taker.ack();
    taker.close();
    await former.store.close();
    const child = spawn(process.execPath, [FROZEN_CHILD, folder, String(look)], { stdio: 'inherit' });
    const closed = once(child, 'close');
    await eventually('it is frozen', () => isFrozen(child.pid!));
    const lab = await openLab(folder);
    lab.publish('meanwhile');
    await lab.safe();
    await lab.store.compact();
    assert.ok(readdirSync(folder).includes('store-2.mdb'));
    child.kill('SIGCONT');
    await eventually('it says whose the folder is', () => child.signalCode !== null || !lab.store.isOurs);
    if (lab.store.isOurs) {
      lab.publish('later');
      await lab.safe();
    }
    child.kill('SIGKILL');
    await closed;
    const expected = lab.store.isOurs ? ['meanwhile!', 'later!'] : ['meanwhile!'];
    await lab.store.close();
    const held = (await openLab(folder)).held('q');
    assert.deepEqual(
      held.filter((id) => !id.startsWith('in time')).map((id) => `${id.replace('!', '')}!`),
      expected,
    );
  });

  it('writes nothing into what a later one has begun', async () => {
    const folder = newFolder();
    const former = await openLab(folder);
    await former.store.close();
    const databases = openDatabases(folder, 'store-1.mdb');
    const instance = takeFolder(databases, 'frozen');
    const lab = await openLab(folder);
    lab.declare('q');
    lab.publish('a');
    await lab.safe();
    assert.equal(
      actAs(instance, databases, () => takeOverLogs(folder, databases, instance)),
      false,
    );
    await databases.root.close();
    await lab.store.close();
    assert.deepEqual((await openLab(folder)).held('q'), ['a']);
  });
});

function isFrozen(pid: number): boolean {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.startsWith('T');
}

describe('a hub that is killed', () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

  it(
    `loses nothing that it confirmed, and brings nothing back whose ack was safe (SEED=${seed})`,
    { timeout: 180_000 },
    async () => {
      const folder = newFolder();
      /** Confirmed, and not acked. */
      const confirmed = new Set<string>();
      const acked = new Set<string>();
      const mayBeAcked = new Set<string>();
      let next = 1;
      for (let round = 0; round < ROUNDS; round++) {
        const lines = 3 + ((seed + round * 37) % 120);
        const said = await runUntilKilled(folder, seed + round, lines, next);
        for (const line of said.split('\n')) {
          const [letter, ...ids] = line.split(' ');
          for (const id of ids) {
            if (letter === 'c') confirmed.add(id);
            else if (letter === 'b') mayBeAcked.add(id);
            else acked.add(id);
          }
        }
        const lab = await openLab(folder, { ballastBytes: 0 });
        const held = lab.held('q').map((id) => /^(m-\d+)!(\+1)?$/.exec(id)?.[1] ?? `unflagged ${id}`);
        const numbers = held.map((id) => Number(id.slice(2)));
        assert.deepEqual(
          numbers,
          [...numbers].sort((a, b) => a - b),
          `round ${round}`,
        );
        const there = new Set(held);
        assert.equal(there.size, held.length);
        const lost = [...confirmed].filter((id) => !there.has(id) && !mayBeAcked.has(id));
        assert.deepEqual(lost, [], `lost in round ${round}`);
        assert.deepEqual(
          [...acked].filter((id) => there.has(id)),
          [],
          `back in round ${round}`,
        );
        next = Math.max(next, ...numbers) + 10_000;
        if (round % 3 === 0) await lab.store.compact();
        // Now and then the next hub finds a folder that was not closed either.
        if (round % 2 === 0) await lab.store.close();
      }
      assert.ok(
        confirmed.size > 1_000 && acked.size > 100,
        `${confirmed.size} confirmed, ${acked.size} acked`,
      );
    },
  );
});
