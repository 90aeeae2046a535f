import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'vitest';
import { openDatabases } from '../../src/backends/file/databases.js';
import { rejection } from '../eventually.js';
import { newFolder, openLab } from './store-lab.js';

const NFS = 0x6969;
const NOBODY = 65534;

async function refused(folder: string, what: RegExp, options = {}): Promise<void> {
  const error = await rejection(openLab(folder, options));
  assert.equal(error.code, 'ERR_FOLDER', String(error.stack));
  assert.match(error.message, what);
  assert.ok(error.message.includes(`"${folder}"`), error.message);
  // What is wrong, and what to do.
  assert.match(error.message, /: .+\. [A-Z].+\.$/);
}

async function madeFolder(): Promise<string> {
  const folder = newFolder();
  const lab = await openLab(folder);
  lab.declare('q');
  lab.publish('a', 'b');
  await lab.safe();
  await lab.store.close();
  return folder;
}

describe('a folder', () => {
  it('is created with all above it', async () => {
    const folder = join(newFolder(), 'deep', 'er');
    await openLab(folder);
    assert.deepEqual(readdirSync(folder).sort(), ['signalbox.json', 'store-1.mdb', 'store-1.mdb-lock']);
  });

  it('may be there and empty', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'lost+found'), { recursive: true });
    await openLab(folder);
  });

  it('is refused if it, or a part of its path, is a file', async () => {
    const folder = newFolder();
    writeFileSync(folder, 'a file');
    await refused(folder, /is a file/);
    await refused(join(folder, 'below'), /is a file/);
    assert.equal(readFileSync(folder, 'utf8'), 'a file');
  });

  it('is refused if it may not be written', async () => {
    const folder = newFolder();
    mkdirSync(folder, { mode: 0o555 });
    if (process.getuid?.() !== 0) return refused(folder, /may not be written/);
    // Root may do everything, so another user tries.
    chmodSync(dirname(folder), 0o755);
    const program = `
      import { openStore } from ${JSON.stringify(join(import.meta.dirname, '../../dist/src/backends/file/store.js'))};
      import { systemEnvironment } from ${JSON.stringify(join(import.meta.dirname, '../../dist/src/model/clock.js'))};
      try { await openStore(process.argv[1], { environment: systemEnvironment }); console.log('opened'); }
      catch (error) { console.log(error.code, error.message); }`;
    const tried = () =>
      spawnSync(process.execPath, ['--input-type=module', '-e', program, folder], {
        uid: NOBODY,
        gid: NOBODY,
      });
    assert.match(tried().stdout.toString(), /ERR_FOLDER .*may not be written/);
    rmSync(folder, { recursive: true });
    const lab = await openLab(folder);
    await lab.store.close();
    chownSync(folder, NOBODY, NOBODY);
    // Its files are not that user's.
    assert.match(tried().stdout.toString(), /ERR_FOLDER .*may not be written/);
  });

  it('is refused on a network file system', async () => {
    const folder = newFolder();
    await refused(folder, /network \(NFS\)/, { volumeOf: () => ({ type: NFS, freeBytes: 1e12 }) });
    assert.deepEqual(readdirSync(folder), []);
  });

  it("is refused, and left alone, if there is something in it that is not signalbox's", async () => {
    const folder = newFolder();
    mkdirSync(folder);
    writeFileSync(join(folder, 'diary.txt'), 'private');
    await refused(folder, /diary\.txt/);
    assert.deepEqual(readdirSync(folder), ['diary.txt']);
    rmSync(join(folder, 'diary.txt'));
    openDatabases(folder, 'store-1.mdb')
      .root.close()
      .catch(() => {});
    await refused(folder, /store-1\.mdb/);
  });

  it('is refused if a newer signalbox has written it', async () => {
    const folder = await madeFolder();
    const note = { signalbox: 'file', format: 2, state: 'ready', data: 'store-1.mdb' };
    writeFileSync(join(folder, 'signalbox.json'), JSON.stringify(note));
    await refused(folder, /format 2.*Upgrade/);
  });

  it('is refused if its note is not what signalbox writes', async () => {
    const folder = await madeFolder();
    for (const text of ['', '{', 'null', '[]', '{"signalbox":"other"}']) {
      writeFileSync(join(folder, 'signalbox.json'), text);
      await refused(folder, /signalbox\.json/);
    }
  });

  it('is refused if its data file is missing or empty, and nothing is created in its place', async () => {
    const folder = await madeFolder();
    truncateSync(join(folder, 'store-1.mdb'), 0);
    await refused(folder, /missing or empty/);
    rmSync(join(folder, 'store-1.mdb'));
    await refused(folder, /missing or empty/);
    assert.equal(existsSync(join(folder, 'store-1.mdb')), false);
  });

  it('that was not finished is finished by the next hub', async () => {
    const folder = newFolder();
    mkdirSync(folder);
    writeFileSync(
      join(folder, 'signalbox.json'),
      JSON.stringify({ signalbox: 'file', format: 1, state: 'creating', data: 'store-1.mdb' }),
    );
    const lab = await openLab(folder);
    lab.declare('q');
    await lab.safe();
    assert.match(readFileSync(join(folder, 'signalbox.json'), 'utf8'), /ready/);
  });
});
