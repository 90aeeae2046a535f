import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identityOf } from '../../src/folder/process-identity.js';
import { takeStartLock } from '../../src/backends/file/start-lock.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { eventually } from '../eventually.js';

describe('the start lock', () => {
  let folder: string;
  let lock: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'signalbox-lock-'));
    lock = join(folder, 'lock');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const take = () => takeStartLock(lock, systemEnvironment);

  it('is held by one at a time, and free once it is given back', async () => {
    const giveBack = await take();
    expect(await take()).toBeUndefined();
    await giveBack!();
    expect(await take()).toBeDefined();
  });

  it('stays with a holder that lives, however long its start takes', async () => {
    const environment = virtualEnvironment();
    const giveBack = await takeStartLock(lock, environment);
    for (let second = 0; second < 60; second++) {
      await environment.clock.advance(1_000);
      await eventually('it is touched', () => statSync(lock).mtimeMs === environment.clock.wall());
    }
    expect(await takeStartLock(lock, environment)).toBeUndefined();
    await giveBack!();
    expect(environment.clock.pending).toBe(0);
    expect(await takeStartLock(lock, environment)).toBeDefined();
  });

  it('is another’s when its holder, though it lives, has given no sign of that for long', async () => {
    const environment = virtualEnvironment();
    await take();
    const now = environment.clock.wall() / 1_000;
    utimesSync(lock, now, now);
    await environment.clock.advance(10_000);
    expect(await takeStartLock(lock, environment)).toBeUndefined();
    await environment.clock.advance(1);
    expect(await takeStartLock(lock, environment)).toBeDefined();
  });

  it('is not given back by one whose place another has taken', async () => {
    const late = await take();
    utimesSync(lock, 1, 1);
    expect(await take()).toBeDefined();
    await late!();
    expect(existsSync(lock)).toBe(true);
    expect(await take()).toBeUndefined();
  });

  it('goes to one only of those who find it stale at the same moment', async () => {
    for (let round = 0; round < 60; round++) {
      writeFileSync(lock, JSON.stringify({ ...identityOf(process.pid), startedAt: '1' }));
      const takers = await Promise.all(Array.from({ length: 6 }, take));
      expect(takers.filter((giveBack) => giveBack !== undefined).length).toBeLessThanOrEqual(1);
      rmSync(lock, { force: true });
      expect(readdirSync(folder)).toEqual([]);
    }
  });
});
