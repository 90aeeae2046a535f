import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { AnyActorRef } from 'xstate';
import type { HubSession } from '../../src/backends/hub/hub-session.js';
import { memoryBackend } from '../../src/backends/memory/index.js';
import { createMaster, type Master, type MasterEvents } from '../../src/index.js';
import { SessionLostError } from '../../src/model/errors.js';
import { eventually, rejection } from '../eventually.js';
import { farm, started } from './farm.js';

const parent = realpathSync(mkdtempSync(join(tmpdir(), 'signalbox-spool-')));
let folders = 0;
const newFolder = () => join(parent, `spool-${++folders}`);

afterAll(() => rmSync(parent, { recursive: true }));

/** A broker that confirms nothing, and gets nothing, while it is silent; its sessions go when it says so. */
function moody() {
  const hub = memoryBackend();
  const sessions: HubSession[] = [];
  const broker = {
    isSilent: false,
    backend: {
      name: 'moody',
      connect: async (options: Parameters<typeof hub.connect>[0]) => {
        const session = (await hub.connect(options)) as HubSession;
        const publish = session.publish.bind(session);
        session.publish = (envelope, fence) =>
          broker.isSilent ? new Promise(() => {}) : publish(envelope, fence);
        sessions.push(session);
        return session;
      },
    },
    breakAll: () =>
      sessions.splice(0).forEach((session) => session.drop(new SessionLostError('The line is cut.'))),
  };
  return broker;
}

function outboxOf(master: Master): string {
  const { children } = master.actor.getSnapshot() as { children: Record<string, AnyActorRef> };
  return JSON.stringify((children.outbox!.getSnapshot() as { value: unknown }).value);
}

describe('a master with a spool', () => {
  it('keeps what a silent broker does not confirm, tells of it, and sends it when the broker is back', async () => {
    const broker = moody();
    const master = await farm()('a', { broker: broker.backend, spool: newFolder(), publishTimeoutMs: 50 });
    const news: MasterEvents['spool'][] = [];
    master.on('spool', (event) => news.push(event));
    const seen: unknown[] = [];
    await master.consume('q', { bindings: ['#'] }, ({ data }) => void seen.push(data));
    expect(await master.publish('a', 0)).toMatchObject({ outcome: 'confirmed' });
    expect(outboxOf(master)).toBe('"flowing"');
    broker.isSilent = true;
    const receipts = await Promise.all([1, 2].map((data) => master.publish('a', data)));
    expect(receipts.map(({ outcome }) => outcome)).toEqual(['spooled', 'spooled']);
    expect(await master.publish('a', 3)).toMatchObject({ outcome: 'spooled' });
    expect(outboxOf(master)).toBe('{"spooling":"flowing"}');
    expect(news[0]).toMatchObject({
      messages: expect.any(Number) as number,
      bytes: expect.any(Number) as number,
    });
    expect(news[0]!.messages).toBeGreaterThan(0);
    broker.isSilent = false;
    broker.breakAll();
    await eventually('they are handled', () => seen.length === 4);
    expect(seen).toEqual([0, 1, 2, 3]);
    await eventually('the spool is empty', () => news.at(-1)!.messages === 0);
    expect(news.at(-1)).toEqual({ messages: 0, bytes: 0 });
    await eventually('it flows again', () => outboxOf(master) === '"flowing"');
    expect(await master.publish('a', 4)).toMatchObject({ outcome: 'confirmed' });
  });

  it('is stopped with what is unconfirmed in the spool, which the next one sends first, flagged', async () => {
    const [broker, spool] = [moody(), newFolder()];
    const master = await createMaster({ name: 'a', broker: broker.backend, spool });
    broker.isSilent = true;
    const published = [1, 2].map((data) => master.publish('a', data));
    await master.stop({ drainTimeoutMs: 50 });
    expect((await Promise.all(published)).map(({ outcome }) => outcome)).toEqual(['spooled', 'spooled']);
    broker.isSilent = false;
    const seen: [unknown, boolean][] = [];
    const consumer = await farm()('c', { broker: broker.backend });
    await consumer.consume(
      'q',
      { bindings: ['#'] },
      ({ data }, { redelivered }) => void seen.push([data, redelivered]),
    );
    const next = await farm()('a', { broker: broker.backend, spool: { folder: spool } });
    await next.publish('a', 3);
    await eventually('they are handled', () => seen.length === 3);
    expect(seen).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
  });

  it('rejects what its full spool does not take', async () => {
    const broker = moody();
    const spool = { folder: newFolder(), bytesMax: 100 };
    const limits = { publishTimeoutMs: 50, drainTimeoutMs: 50 };
    const master = await farm()('a', { broker: broker.backend, spool, ...limits });
    broker.isSilent = true;
    expect(await master.publish('a', 'x'.repeat(200))).toMatchObject({ outcome: 'spooled' });
    expect(await rejection(master.publish('a', 2))).toMatchObject({ code: 'ERR_SPOOL_FULL' });
  });

  it('has the folder for itself, and leaves it when it stops or does not start', async () => {
    const spool = newFolder();
    const master = await farm()('a', { spool });
    expect(await rejection(farm()('b', { spool }))).toMatchObject({ code: 'ERR_FOLDER' });
    await master.stop();
    started.splice(0);
    expect(await rejection(createMaster({ name: 'a', broker: 'gopher:', spool }))).toMatchObject({
      code: 'ERR_BROKER_URL',
    });
    const away = { name: 'away', connect: () => Promise.reject(new Error('away')) };
    const failed = await rejection(createMaster({ name: 'a', broker: away, spool, connectTimeoutMs: 50 }));
    expect(failed.message).toContain('away');
    await eventually('the folder is free', async () => {
      try {
        await farm()('b', { spool });
        return true;
      } catch {
        return false;
      }
    });
  });
});
