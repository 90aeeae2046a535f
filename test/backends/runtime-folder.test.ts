import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileBackend } from '../../src/backends/file/index.js';
import { refuseForeignHub } from '../../src/backends/file/hub-record.js';
import { placesOf } from '../../src/backends/file/runtime-folder.js';
import { createMaster } from '../../src/index.js';
import { identityOf } from '../../src/folder/process-identity.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { rejection } from '../eventually.js';

const hubProgram = join(import.meta.dirname, '../../dist/src/backends/file/hub-program.js');
const { uid } = userInfo();
const runtime = process.env['XDG_RUNTIME_DIR'];
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sb-run-'));
});
afterEach(() => {
  if (runtime === undefined) delete process.env['XDG_RUNTIME_DIR'];
  else process.env['XDG_RUNTIME_DIR'] = runtime;
  rmSync(root, { recursive: true, force: true });
});

/** As the error of a master: what is wrong with a folder does not heal. */
const refused = () =>
  rejection(createMaster({ name: 'a', broker: fileBackend(join(root, 'state'), { hubProgram }) }));

describe('the folder of the sockets', () => {
  const use = (folder: string) => {
    mkdirSync(folder, { recursive: true });
    process.env['XDG_RUNTIME_DIR'] = folder;
    return join(folder, `signalbox-${uid}`);
  };

  it('with too long a path is refused, and the error says what to set', async () => {
    use(join(root, 'a'.repeat(120)));
    const error = await refused();
    expect(error).toMatchObject({ code: 'ERR_FOLDER' });
    expect(error.message).toMatch(/path of a socket may have 103 bytes.*Set TMPDIR/);
  });

  it('may have a data folder with any path', async () => {
    use(root);
    const { folder, socket } = await placesOf(join(root, 'b'.repeat(200)));
    expect([folder.length > 200, Buffer.byteLength(socket) <= 103]).toEqual([true, true]);
  });

  it.runIf(uid === 0)('of another user is refused', async () => {
    const folder = use(join(root, 'run'));
    mkdirSync(folder);
    chownSync(folder, 1, 1);
    const error = await refused();
    expect(error).toMatchObject({ code: 'ERR_FOLDER' });
    expect(error.message).toMatch(/belongs to somebody else.*Set TMPDIR/);
  });

  it('that is a link is refused, and one that others may read is closed to them', async () => {
    const folder = use(join(root, 'run'));
    symlinkSync(root, folder);
    expect((await refused()).message).toMatch(/belongs to somebody else/);
    const open = use(join(root, 'other'));
    mkdirSync(open, { mode: 0o755 });
    await placesOf(join(root, 'state'));
    expect(statSync(open).mode & 0o777).toBe(0o700);
  });
});

describe('a hub that serves the folder from elsewhere', () => {
  const record = (change: object) => {
    const folder = join(root, 'state');
    mkdirSync(folder, { recursive: true });
    const own = { ...identityOf(process.pid), socket: '/nowhere', pidNamespace: 'pid:[1]' };
    writeFileSync(join(folder, 'hub.json'), JSON.stringify({ ...own, ...change }));
    return folder;
  };

  it.each([
    ['in another container', {}],
    ['on another machine', { bootId: 'another' }],
  ])('is refused as long as it gives signs of life: %s', async (_, change) => {
    const folder = record(change);
    const error = await rejection(refuseForeignHub(folder, systemEnvironment));
    expect(error).toMatchObject({ code: 'ERR_FOLDER' });
    expect(error.message).toMatch(/another container or on another machine.*must share their processes/);
    const long = Date.now() / 1_000 - 6;
    utimesSync(join(folder, 'hub.json'), long, long);
    await refuseForeignHub(folder, systemEnvironment);
  });

  it('refuses a master, at once', async () => {
    process.env['XDG_RUNTIME_DIR'] = root;
    record({});
    const error = await refused();
    expect(error).toMatchObject({ code: 'ERR_FOLDER' });
    expect(error.message).toMatch(/another container/);
  });

  it('is no hub when its record cannot be read', async () => {
    const folder = record({ pid: 'none' });
    await refuseForeignHub(folder, systemEnvironment);
    writeFileSync(join(folder, 'hub.json'), '{');
    await refuseForeignHub(folder, systemEnvironment);
  });
});
