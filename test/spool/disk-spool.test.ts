import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'msgpackr';
import { afterEach, describe, expect, it } from 'vitest';
import { openStore } from '../../src/backends/file/store.js';
import type { OwnEnvelope } from '../../src/flow/outgoing.js';
import type { Spool, SpooledMessage } from '../../src/flow/spool.js';
import { identityOf } from '../../src/folder/process-identity.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { FolderError, SpoolFullError } from '../../src/model/errors.js';
import { Payload } from '../../src/model/payload.js';
import { openDatabases } from '../../src/spool/databases.js';
import { DiskSpool } from '../../src/spool/disk-spool.js';
import { openSpool, type SpoolFolderOptions } from '../../src/spool/index.js';
import { takeSpool } from '../../src/spool/tenancy.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { eventually, rejection } from '../eventually.js';

const folders: string[] = [];
const spools: Spool[] = [];

function newFolder(): string {
  const parent = realpathSync(mkdtempSync(join(tmpdir(), 'signalbox-spool-')));
  folders.push(parent);
  return join(parent, 'spool.d');
}

async function open(folder: string, options: Partial<SpoolFolderOptions> = {}): Promise<Spool> {
  const spool = await openSpool(folder, { environment: systemEnvironment, bytesMax: 2 ** 28, ...options });
  spools.push(spool);
  return spool;
}

afterEach(async () => {
  for (const spool of spools.splice(0)) await spool.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function messageOf(sequence: number, data: unknown = { sequence }, producer = 'p'): OwnEnvelope {
  return {
    ...{
      id: `${producer}-${sequence}`,
      topic: 'a.topic',
      time: 1_767_225_600_000,
      source: 'signalbox:lab/m',
    },
    ...{ headers: { number: String(sequence) }, payload: Payload.of(data, { maxBytes: 2 ** 22 }) },
    ...{ origin: { producer, sequence, open: [[1, Infinity]] }, resent: false, fence: undefined },
  };
}

const put = (spool: Spool, sequence: number, data?: unknown) =>
  spool.put({ generation: spool.generation, sequence }, messageOf(sequence, data));
const idsOf = (messages: readonly SpooledMessage[]) =>
  messages.map(({ envelope }) => (envelope instanceof Error ? 'damaged' : envelope.id));

/** Opened without the tenant's record being asked. */
async function tamper(
  folder: string,
  change: (databases: ReturnType<typeof openDatabases>) => void,
): Promise<void> {
  const databases = openDatabases(folder);
  databases.root.transactionSync(() => change(databases));
  await databases.root.close();
}

describe('a spool on the disk', () => {
  it('brings back what was put, whole and in order, oldest opening first', async () => {
    const folder = newFolder();
    const data = { at: new Date(5), big: 7n, text: 'ä' };
    const first = await open(folder);
    await Promise.all([put(first, 10), put(first, 2, data), put(first, 300)]);
    await first.close();
    const second = await open(folder);
    await put(second, 1);
    expect(second.generation).toBeGreaterThan(first.generation);
    const read = second.read(undefined, 10);
    expect(idsOf(read)).toEqual(['p-2', 'p-10', 'p-300', 'p-1']);
    const envelope = read[0]!.envelope as OwnEnvelope;
    expect({ ...envelope, payload: envelope.payload.value() }).toEqual({
      ...messageOf(2),
      headers: { number: '2' },
      payload: data,
    });
    expect([second.messages, idsOf(second.read(read[1]!.place, 1))]).toEqual([4, ['p-300']]);
  });

  it('gives nothing behind what is not flushed yet', async () => {
    const spool = await open(newFolder());
    await put(spool, 5);
    const flushed = put(spool, 3);
    void put(spool, 9);
    expect([idsOf(spool.read(undefined, 10)), spool.messages]).toEqual([[], 3]);
    await flushed;
    await eventually('all are flushed', () => spool.read(undefined, 10).length === 3);
  });

  it('forgets what was removed, at once and after the next opening', async () => {
    const folder = newFolder();
    const spool = await open(folder);
    await Promise.all([1, 2, 3].map((sequence) => put(spool, sequence)));
    const bytes = spool.bytes;
    spool.remove({ generation: spool.generation, sequence: 2 });
    spool.remove({ generation: spool.generation, sequence: 2 });
    void put(spool, 4);
    spool.remove({ generation: spool.generation, sequence: 4 });
    expect([spool.messages, spool.bytes]).toEqual([2, (bytes / 3) * 2]);
    await spool.close();
    const next = await open(folder);
    expect([next.messages, next.bytes, idsOf(next.read(undefined, 10))]).toEqual([
      2,
      (bytes / 3) * 2,
      ['p-1', 'p-3'],
    ]);
  });

  it('takes no more than its bytes, and again when there is room', async () => {
    const spool = await open(newFolder(), { bytesMax: 1_000 });
    await put(spool, 1, 'x'.repeat(500));
    expect(spool.refusal).toBeUndefined();
    await put(spool, 2, 'x'.repeat(500));
    expect(spool.refusal).toBeInstanceOf(SpoolFullError);
    spool.remove({ generation: spool.generation, sequence: 1 });
    expect(spool.refusal).toBeUndefined();
  });

  it('takes nothing when the disk is nearly full', async () => {
    let freeBytes = 2 ** 30;
    const spool = await open(newFolder(), { volumeOf: () => ({ type: 0, freeBytes }) });
    expect(spool.refusal).toBeUndefined();
    freeBytes = 2 ** 20;
    await eventually('it is noticed', () => spool.refusal instanceof SpoolFullError);
    freeBytes = 2 ** 30;
    await eventually('there is room again', () => spool.refusal === undefined);
  });

  it('takes messages again after a write has failed, once there is room and one succeeds', async () => {
    const folder = newFolder();
    await (await open(folder)).close();
    const databases = openDatabases(folder);
    const tenancy = takeSpool(folder, databases);
    const { clock } = virtualEnvironment();
    let freeBytes = 2 ** 30;
    const options = { folder, databases, tenancy, clock, bytesMax: 2 ** 28, freeBytes: () => freeBytes };
    const spool = new DiskSpool(options);
    spools.push(spool);
    await put(spool, 1);
    await put(spool, 2);
    const write = databases.meta.ifVersion.bind(databases.meta);
    let tried = 0;
    databases.meta.ifVersion = () => {
      tried++;
      return Promise.reject(new Error('ENOSPC'));
    };
    expect((await rejection(put(spool, 3))).message).toMatch(/cannot be written: ENOSPC/);
    spool.remove({ generation: spool.generation, sequence: 1 });
    expect([spool.refusal, spool.messages]).toEqual([expect.any(SpoolFullError), 1]);
    await clock.advance(2_500);
    expect([tried, spool.refusal]).toEqual([3, expect.any(SpoolFullError)]);
    // With nothing left on the disk nothing is tried: LMDB does not survive that.
    freeBytes = 0;
    databases.meta.ifVersion = write;
    await clock.advance(5_000);
    expect(spool.refusal).toBeInstanceOf(SpoolFullError);
    freeBytes = 2 ** 30;
    await clock.advance(1_000);
    await eventually('it takes messages', () => spool.refusal === undefined);
    await put(spool, 3);
    expect(idsOf(spool.read(undefined, 5))).toEqual(['p-2', 'p-3']);
    await spool.close();
    expect(clock.pending).toBe(0);
    const again = await open(folder);
    expect([idsOf(again.read(undefined, 5)), again.messages]).toEqual([['p-2', 'p-3'], 2]);
  });

  it('sets aside as a line for people, and counts it until it is deleted', async () => {
    const folder = newFolder();
    const spool = await open(folder, { bytesMax: 1_000 });
    await Promise.all([put(spool, 1, { at: new Date(0), text: 'x'.repeat(900) }), put(spool, 2)]);
    await spool.setAside({ generation: spool.generation, sequence: 1 }, new Error('no such exchange'));
    expect(idsOf(spool.read(undefined, 10))).toEqual(['p-2']);
    const file = join(folder, 'refused.jsonl');
    const [line, rest] = readFileSync(file, 'utf8').split('\n');
    expect(rest).toBe('');
    expect(JSON.parse(line!)).toMatchObject({
      ...{ id: 'p-1', topic: 'a.topic', reason: 'no such exchange', headers: { number: '1' } },
      data: { at: '1970-01-01T00:00:00.000Z' },
    });
    await eventually('it counts', () => spool.refusal instanceof SpoolFullError);
    rmSync(file);
    await eventually('it is gone', () => spool.refusal === undefined);
  });

  it('writes one whole line, also when who wrote it died before the message had left', async () => {
    const folder = newFolder();
    const file = join(folder, 'refused.jsonl');
    const spool = await open(folder);
    await Promise.all([put(spool, 1), put(spool, 2)]);
    await spool.setAside({ generation: spool.generation, sequence: 1 }, new Error('no such exchange'));
    // As its death leaves it: the message is there, its line too, and of the next line a part.
    await put(spool, 1);
    await spool.close();
    appendFileSync(file, readFileSync(file, 'utf8').slice(0, 20));
    const next = await open(folder);
    for (const { place } of next.read(undefined, 10)) await next.setAside(place, new Error('refused again'));
    expect(next.read(undefined, 10)).toEqual([]);
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((text) => (JSON.parse(text) as { id: string }).id)).toEqual(['p-1', 'p-2']);
    expect(lines[0]).toContain('no such exchange');
  });

  it('gives a damaged message as such, and sets its bytes aside', async () => {
    const folder = newFolder();
    const spool = await open(folder);
    await Promise.all([put(spool, 1), put(spool, 2)]);
    await spool.close();
    await tamper(folder, ({ messages }) => {
      const bytes = Buffer.from(messages.getBinary([spool.generation, 1])!);
      bytes[20]! ^= 1;
      void messages.put([spool.generation, 1], bytes);
    });
    const next = await open(folder);
    const read = next.read(undefined, 10);
    expect(idsOf(read)).toEqual(['damaged', 'p-2']);
    await next.setAside(read[0]!.place, read[0]!.envelope as Error);
    expect([next.messages, idsOf(next.read(undefined, 10))]).toEqual([1, ['p-2']]);
    expect(JSON.parse(readFileSync(join(folder, 'refused.jsonl'), 'utf8'))).toHaveProperty('base64');
  });
});

describe('the folder of a spool', () => {
  it('belongs to one living master, also of the same process', async () => {
    const folder = newFolder();
    const spool = await open(folder);
    await put(spool, 1);
    expect(await rejection(open(folder))).toMatchObject({
      code: 'ERR_FOLDER',
      message: expect.stringMatching(/this process/) as string,
    });
    await put(spool, 2);
    await spool.close();
    expect((await open(folder)).messages).toBe(2);
  });

  it('is refused while another process that lives has it, and taken over once that is gone', async () => {
    const folder = newFolder();
    await (await open(folder)).close();
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000); console.log(1)'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    const pid = child.pid!;
    await tamper(folder, ({ meta }) => void meta.put('tenant', pack(identityOf(pid)), 1));
    const error = await rejection(open(folder));
    expect(error).toBeInstanceOf(FolderError);
    expect(error.message).toContain(`process ${pid}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await (await open(folder)).close();
    // Another process with the same id, and one of another boot.
    for (const other of [{ startedAt: '1' }, { bootId: 'another' }]) {
      await tamper(
        folder,
        ({ meta }) => void meta.put('tenant', pack({ ...identityOf(process.pid), ...other }), 5),
      );
      await (await open(folder)).close();
    }
  });

  it('writes nothing more once another has taken it', async () => {
    const folder = newFolder();
    const spool = await open(folder);
    await put(spool, 1);
    await tamper(folder, ({ meta }) => void meta.put('tenant', pack(null), 99));
    expect(await rejection(put(spool, 2))).toBeInstanceOf(SpoolFullError);
    expect([spool.refusal, spool.messages]).toEqual([expect.any(SpoolFullError), 1]);
    expect(await rejection(put(spool, 3))).toBeInstanceOf(SpoolFullError);
    expect(idsOf(spool.read(undefined, 5))).toEqual(['p-1']);
    spool.remove({ generation: spool.generation, sequence: 1 });
    expect([spool.messages, spool.read(undefined, 5)]).toEqual([0, []]);
  });

  it('is refused when it is not a spool, with what to do', async () => {
    const foreign = newFolder();
    mkdirSync(foreign);
    writeFileSync(join(foreign, 'thesis.txt'), '');
    const hub = newFolder();
    await (await openStore(hub, { environment: systemEnvironment, ballastBytes: 0 })).close();
    const file = newFolder();
    writeFileSync(file, '');
    const newer = newFolder();
    await (await open(newer)).close();
    await tamper(newer, ({ meta }) => void meta.put('format', pack(2), 0));
    const cut = newFolder();
    const spool = await open(cut);
    await Promise.all(Array.from({ length: 200 }, (_, at) => put(spool, at + 1, 'x'.repeat(500))));
    await spool.close();
    truncateSync(join(cut, 'spool.mdb'), statSync(join(cut, 'spool.mdb')).size - 8_192);
    const torn = newFolder();
    await (await open(torn)).close();
    writeFileSync(join(torn, 'spool.mdb'), 'x'.repeat(32_768));
    for (const [folder, text] of [
      [foreign, /thesis\.txt/],
      [hub, /belongs to a hub/],
      [file, /is a file/],
      [newer, /newer signalbox/],
      [cut, /cut off/],
      [torn, /head is missing/],
    ] as const) {
      const error = await rejection(open(folder));
      expect(error).toMatchObject({ code: 'ERR_FOLDER' });
      expect(error.message).toMatch(text);
    }
    const own = newFolder();
    await (await open(own)).close();
    expect(
      await rejection(openStore(own, { environment: systemEnvironment, ballastBytes: 0 })),
    ).toMatchObject({ message: expect.stringMatching(/belongs to a master's spool/) as string });
  });
});
