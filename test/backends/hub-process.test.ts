import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { livingHub } from '../../src/backends/file/hub-record.js';
import { placesOf } from '../../src/backends/file/runtime-folder.js';
import { startHub } from '../../src/backends/file/start-hub.js';
import { eventually } from '../eventually.js';

const program = join(import.meta.dirname, '../../dist/src/backends/file/hub-program.js');

it('a hub starts also where its options are unknown', async () => {
  const places = await placesOf(mkdtempSync(join(tmpdir(), 'signalbox-hub-')));
  await startHub(program, places, new AbortController().signal, ['--no-such-option']);
  process.kill((await livingHub(places.folder))!.pid, 'SIGTERM');
  await eventually('the hub has gone', async () => !(await livingHub(places.folder)));
  rmSync(places.folder, { recursive: true });
});

it('a hub that was told to end leaves nothing outside its folder', async () => {
  const places = await placesOf(mkdtempSync(join(tmpdir(), 'signalbox-hub-')));
  const outside = () =>
    readdirSync(dirname(places.socket)).filter((name) => name.startsWith(basename(places.socket, '.sock')));
  await startHub(program, places, new AbortController().signal);
  expect(outside()).toContain(basename(places.socket));
  const hub = await livingHub(places.folder);
  process.kill(hub!.pid, 'SIGTERM');
  await eventually('the hub has gone', async () => !(await livingHub(places.folder)));
  expect(outside()).toEqual([]);
  rmSync(places.folder, { recursive: true });
});
