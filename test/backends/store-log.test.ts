import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { findLogs } from '../../src/backends/file/log.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';
import { rejection } from '../eventually.js';
import { newFolder, openLab, type Lab } from './store-lab.js';

/** A hub whose table takes nothing by itself. */
function openWaiting(folder: string): Promise<Lab> {
  return openLab(folder, { environment: { ...systemEnvironment, clock: new VirtualClock() } });
}

/** The folder as it is left by a hub that is killed now. */
function copyOf(folder: string): string {
  const copy = newFolder();
  cpSync(folder, copy, { recursive: true });
  return copy;
}

function changeLog(folder: string, change: (log: Buffer) => Buffer): void {
  const [log] = findLogs(folder);
  const path = join(folder, log!.file);
  writeFileSync(path, change(readFileSync(path)));
}

describe('the log of a hub', () => {
  it('brings back what the table had not taken, also twice', async () => {
    const folder = newFolder();
    const lab = await openWaiting(folder);
    lab.declare('q');
    for (const id of ['a', 'b', 'c']) {
      lab.publish(id);
      await lab.safe();
    }
    const taker = lab.taker('q', 2);
    taker.begin();
    taker.ack(1);
    await lab.safe();
    const copy = copyOf(folder);
    const second = await openWaiting(copy);
    assert.deepEqual(second.held('q'), ['b!+1', 'c!']);
    second.publish('d');
    await second.safe();
    const third = copyOf(copy);
    // Its table has what the second hub found, and its log the rest.
    assert.equal(findLogs(third).length, 1);
    assert.deepEqual((await openWaiting(third)).held('q'), ['b!+1', 'c!', 'd!']);
  });

  it('of a hub that was killed before it took over the one before is not forgotten', async () => {
    const folder = newFolder();
    const lab = await openWaiting(folder);
    lab.declare('q');
    lab.publish('a');
    await lab.safe();
    const copy = copyOf(folder);
    const kept = copyOf(copy);
    await openWaiting(copy);
    // The table of the second hub, with the log of the first still beside it.
    const [log] = findLogs(kept);
    const both = copyOf(copy);
    cpSync(join(kept, log!.file), join(both, log!.file));
    assert.deepEqual((await openWaiting(both)).held('q'), ['a!']);
  });

  it('is gone after a clean end, and nothing comes flagged', async () => {
    const folder = newFolder();
    const lab = await openWaiting(folder);
    lab.declare('q');
    lab.publish('a');
    await lab.safe();
    await lab.store.close();
    assert.deepEqual(findLogs(folder), []);
    assert.deepEqual((await openWaiting(folder)).held('q'), ['a']);
  });

  it('loses what was cut off while it was written, and is refused if it is damaged', async () => {
    const folder = newFolder();
    const lab = await openWaiting(folder);
    lab.declare('q');
    const ends: number[] = [];
    for (const id of ['a', 'b']) {
      lab.publish(id);
      await lab.safe();
      const [log] = findLogs(folder);
      ends.push(readFileSync(join(folder, log!.file)).findLastIndex((byte) => byte !== 0));
    }
    const cut = copyOf(folder);
    changeLog(cut, (log) => log.fill(0, ends[1]! - 20));
    assert.deepEqual((await openWaiting(cut)).held('q'), ['a!']);
    const damaged = copyOf(folder);
    changeLog(damaged, (log) => log.fill(0xff, ends[0]! - 2, ends[0]));
    const error = await rejection(openWaiting(damaged));
    assert.equal((error as Error & { code: string }).code, 'ERR_FOLDER');
    assert.match(error.message, /its log is damaged at byte \d+\. Put a backup in its place/);
  });

  it('that has gone missing is an error of the folder; an empty one in its place goes on without', async () => {
    const folder = newFolder();
    const lab = await openWaiting(folder);
    lab.declare('q');
    lab.publish('a');
    await lab.safe();
    const first = copyOf(folder);
    // What its table has taken is not in question.
    await (await openWaiting(first)).safe();
    const second = copyOf(first);
    const again = await openWaiting(second);
    again.publish('b');
    await again.safe();
    const bereft = copyOf(second);
    const [log] = findLogs(bereft);
    rmSync(join(bereft, log!.file));
    const error = await rejection(openWaiting(bereft));
    assert.equal((error as Error & { code: string }).code, 'ERR_FOLDER');
    assert.ok(error.message.includes(log!.file), error.message);
    assert.match(error.message, /missing.*Put a backup in its place/);
    writeFileSync(join(bereft, log!.file), '');
    assert.deepEqual((await openWaiting(bereft)).held('q'), ['a!']);
  });

  it('makes nothing safe of a hub whose folder another has taken', async () => {
    const folder = newFolder();
    const [first, second] = [await openWaiting(folder), await openWaiting(folder)];
    let isSafe = false;
    first.declare('q');
    void first.safe().then(() => (isSafe = true));
    assert.match((await first.store.failed).message, /Another hub has taken the folder/);
    second.declare('q');
    second.publish('a');
    await second.safe();
    assert.equal(isSafe, false);
    assert.deepEqual((await openWaiting(copyOf(folder))).held('q'), ['a!']);
  });
});
