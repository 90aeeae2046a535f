import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, statSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import type { Journal } from '../../src/backends/hub/journal.js';
import { eventually, rejection } from '../eventually.js';
import { canMount, messageOf, mountDisk, newFolder, openLab, type Lab } from './store-lab.js';

const MEGABYTE = 2 ** 20;
const DISK_MB = 64;
const RESERVE = 16 * MEGABYTE;
const BALLAST = 4 * MEGABYTE;
const TEXT = 'x'.repeat(20_000);

const freeBytes = (path: string) => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

/** Publishes until it is refused, some at a time; what it says was accepted is safe. */
async function publishUntilRefused(lab: Lab, prefix: string, atOnce = 10, text = TEXT): Promise<string[]> {
  const accepted: string[] = [];
  const { journal } = lab.hub;
  while (!journal.refusal) {
    for (let count = 0; count < atOnce && !journal.refusal; count++) {
      const id = `${prefix}-${accepted.length}`;
      lab.hub.publish(messageOf(id, 'a', text));
      accepted.push(id);
    }
    await lab.safe();
    if (accepted.length > 1e5) throw new Error('It was never refused.');
  }
  return accepted;
}

/** Acks everything, some at a time. */
async function ackAll(lab: Lab): Promise<string[]> {
  const taker = lab.taker('q', 500);
  const acked: string[] = [];
  while (taker.held.size > 0) {
    acked.push(...[...taker.held].map(({ envelope }) => envelope.id));
    taker.ack(500);
    await lab.safe();
  }
  taker.close();
  return acked;
}

function fullError(journal: Journal, folder: string): void {
  const { refusal } = journal as { refusal: Error & { code?: string } };
  assert.equal(refusal.code, 'ERR_BROKER_FULL');
  assert.ok(refusal.message.includes(folder), refusal.message);
  assert.match(refusal.message, /\d MB free.* reserve is \d/);
}

let disk: string;

async function openOnDisk(): Promise<{ lab: Lab; folder: string }> {
  const mounted = mountDisk(DISK_MB);
  assert.ok(mounted);
  disk = mounted;
  const folder = join(disk, 'state');
  return { lab: await openAgain(folder), folder };
}

function openAgain(folder: string): Promise<Lab> {
  return openLab(folder, { reserveBytes: RESERVE, ballastBytes: BALLAST });
}

async function fill(path: string): Promise<void> {
  const filler = spawn('dd', ['if=/dev/zero', `of=${path}`, 'bs=64k', 'oflag=append', 'conv=notrunc'], {
    stdio: 'ignore',
  });
  await once(filler, 'exit');
}

describe.runIf(canMount)('a disk of 64 MB', { timeout: 120_000 }, () => {
  it('is not filled: publishes are refused, acks make room, and publishes go on', async () => {
    const { lab, folder } = await openOnDisk();
    await eventually('the ballast is there', () => existsSync(join(folder, 'ballast')));
    lab.declare('q');
    for (let round = 0; round < 4; round++) {
      const accepted = await publishUntilRefused(lab, `round${round}`);
      // How many depends on how much the log holds when the data file takes it: that is a matter of time.
      assert.ok(accepted.length > 50, `${accepted.length} were taken in round ${round}`);
      fullError(lab.hub.journal, folder);
      assert.ok(freeBytes(disk) > RESERVE / 4, `${freeBytes(disk)} bytes are free`);
      if (round === 2) {
        await lab.store.close();
        const again = await openAgain(folder);
        assert.deepEqual(again.held('q'), accepted);
        assert.deepEqual(await ackAll(again), accepted);
        await again.store.close();
        return;
      }
      assert.deepEqual(await ackAll(lab), accepted);
      // As long as the log holds what the data file is to take, the disk has both.
      await eventually('the data file has taken everything', () => lab.store.isIdle);
      await eventually('publishes are taken', () => !lab.hub.journal.refusal);
    }
  });

  it('is not filled by messages of many pages, whose room must be in one piece', async () => {
    const { lab, folder } = await openOnDisk();
    lab.declare('q');
    const sizes = [1_000_000, 3_000, 300_000, 700, 50_000];
    const kept = new Set<string>();
    for (let round = 0; round < 6; round++) {
      const size = sizes[round % sizes.length]!;
      const atOnce = Math.ceil(250_000 / size);
      for (const id of await publishUntilRefused(lab, `round${round}`, atOnce, 'x'.repeat(size)))
        kept.add(id);
      // Every second one is acked, so that what is free is in pieces, until publishes are taken.
      for (let times = 0; times < 1 || lab.hub.journal.refusal; times++) {
        const taker = lab.taker('q');
        const acked = [...taker.held].filter((_, at) => at % 2 === 0);
        lab.hub.operations.run(() => {
          for (const entry of acked) taker.queue.settle(taker, entry);
        });
        taker.close();
        for (const { envelope } of acked) kept.delete(envelope.id);
        await lab.safe();
        if (kept.size === 0) await eventually('publishes are taken', () => !lab.hub.journal.refusal);
      }
      assert.ok(freeBytes(disk) > MEGABYTE, `${freeBytes(disk)} bytes are free in round ${round}`);
    }
    await lab.store.close();
    assert.deepEqual(
      (await openAgain(folder)).held('q').map((id) => id.replace('!', '')),
      [...kept],
    );
  });

  it('that another program fills stops publishes, not the hub; and nothing is lost', async () => {
    const { lab, folder } = await openOnDisk();
    lab.declare('q');
    const stuffing = join(disk, 'stuffing');
    const safe: string[] = [];
    let isFilled = false;
    const filled = fill(stuffing).then(() => (isFilled = true));
    for (let number = 0; !isFilled || number < 200; number++) {
      if (!lab.hub.journal.refusal) {
        lab.hub.publish(messageOf(`m-${number}`, 'a', TEXT));
        lab.store.journal('lab').afterFlush(() => safe.push(`m-${number}`));
      }
      if (number % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
    }
    await filled;
    await eventually('publishes are refused', () => lab.hub.journal.refusal !== undefined);
    fullError(lab.hub.journal, folder);
    // What the hub itself gives back meanwhile, a copy that found no room, goes to the other program too.
    await eventually('the ballast is given up', async () => {
      await fill(stuffing);
      return !existsSync(join(folder, 'ballast'));
    });
    // With nothing left at all, acks may have to wait...
    const taker = lab.taker('q', 5);
    taker.ack(5);
    let isAcked = false;
    lab.store.journal('lab').afterFlush(() => (isAcked = true));
    taker.close();
    // ...until there is room.
    rmSync(stuffing);
    await eventually('the acks are safe', () => isAcked);
    await eventually('publishes are taken', () => !lab.hub.journal.refusal);
    await eventually('the ballast is back', () => existsSync(join(folder, 'ballast')));
    lab.hub.publish(messageOf('after'));
    await lab.safe();
    await lab.store.close();
    const kept = (await openAgain(folder)).held('q');
    assert.deepEqual(
      kept.map((id) => id.replace('!', '')),
      [...safe.slice(5), 'after'],
    );
  });

  it('that is nearly full gives up its ballast, and acks go on', async () => {
    const { lab, folder } = await openOnDisk();
    lab.declare('q');
    for (let number = 0; number < 500; number++) lab.hub.publish(messageOf(`m-${number}`, 'a', TEXT));
    await lab.safe();
    const ballast = join(folder, 'ballast');
    await eventually('the ballast is there', () => existsSync(ballast) && statSync(ballast).size === BALLAST);
    const left = Math.floor((freeBytes(disk) - 2 * MEGABYTE) / 65_536);
    spawnSync('dd', ['if=/dev/zero', `of=${join(disk, 'stuffing')}`, 'bs=64k', `count=${left}`]);
    assert.equal((await ackAll(lab)).length, 500);
    assert.equal(existsSync(ballast), false);
    fullError(lab.hub.journal, folder);
    await lab.store.close();
    const again = await openAgain(folder);
    assert.deepEqual(again.held('q'), []);
    fullError(again.hub.journal, folder);
  });

  it('that is full when the hub starts is an error of the folder, and nothing is lost', async () => {
    const { lab, folder } = await openOnDisk();
    lab.declare('q');
    lab.publish('m');
    await lab.safe();
    await eventually('the ballast is there', () => existsSync(join(folder, 'ballast')));
    await lab.store.close();
    await fill(join(disk, 'stuffing'));
    // The ballast makes room for one start.
    const again = await openAgain(folder);
    assert.deepEqual(again.held('q'), ['m']);
    await again.store.close();
    await fill(join(disk, 'more'));
    const error = await rejection(openAgain(folder));
    assert.equal(error.code, 'ERR_FOLDER');
    assert.match(error.message, /disk is full/);
    rmSync(join(disk, 'stuffing'));
    assert.deepEqual((await openAgain(folder)).held('q'), ['m']);
  });
});

describe('a disk with less free than the reserve (no disk is mounted for this)', () => {
  it('takes no publishes and no new queue, but acks', async () => {
    const folder = newFolder();
    let free = 1e12;
    const options = { volumeOf: () => ({ type: 0, freeBytes: free }), reserveBytes: RESERVE };
    const lab = await openLab(folder, options);
    lab.declare('q');
    lab.publish('a', 'b');
    await lab.safe();
    free = RESERVE - MEGABYTE;
    await eventually('it refuses', () => lab.hub.journal.refusal !== undefined);
    fullError(lab.hub.journal, folder);
    assert.throws(() => lab.declare('new'), { code: 'ERR_BROKER_FULL' });
    lab.taker('q', 1).ack(1);
    await lab.safe();
    free = 1e12;
    await eventually('it takes publishes', () => !lab.hub.journal.refusal);
    await lab.store.close();
    assert.deepEqual((await openLab(folder, options)).held('q'), ['b']);
  });

  it('takes no more into one batch than there is room for', async () => {
    const folder = newFolder();
    const options = {
      volumeOf: () => ({ type: 0, freeBytes: RESERVE + 4 * MEGABYTE }),
      reserveBytes: RESERVE,
    };
    const lab = await openLab(folder, options);
    lab.declare('q');
    await lab.safe();
    let taken = 0;
    while (!lab.hub.journal.refusal && taken < 1_000) {
      lab.hub.publish(messageOf(`m-${taken}`, 'a', TEXT));
      taken++;
    }
    assert.ok(taken > 50 && taken < 150, `${taken} messages were taken`);
    await lab.safe();
    assert.equal(lab.hub.journal.refusal, undefined);
  });

  it('does not keep a hub that is told to end', async () => {
    const folder = newFolder();
    let freeBytes = 2 ** 40;
    const lab = await openLab(folder, { volumeOf: () => ({ type: 0, freeBytes }) });
    lab.declare('q');
    lab.publish('a');
    await lab.safe();
    freeBytes = 0;
    // The table waits for room, and so does what would make some.
    const compacting = lab.store.compact();
    await lab.store.close();
    await compacting;
    assert.match((await lab.store.failed).message, /0\.0 MB free/);
    freeBytes = 2 ** 40;
    assert.deepEqual((await openLab(folder)).held('q'), ['a!']);
  });
});
