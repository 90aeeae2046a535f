import { describe, expect, it } from 'vitest';
import type { Session } from '../../src/backend.js';
import { sharedHubs } from '../../src/backends/memory/hubs.js';
import { sharedMemoryBackend } from '../../src/backends/memory/index.js';
import { specOf } from '../../src/testing/cases/member.js';
import { SessionRecord } from '../../src/testing/cases/records.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';

const environment = virtualEnvironment();

function connect(name: string, master: string, namespace = 'signalbox'): Promise<Session> {
  return sharedMemoryBackend(name).connect({
    namespace,
    master,
    incarnation: environment.randomId(),
    ownerTimeoutMs: 3_000,
    environment,
    signal: new AbortController().signal,
    sink: new SessionRecord(),
  });
}

describe('hubs of this process that have a name', () => {
  it('are forgotten when their last session has ended', async () => {
    const sessions = [
      await connect('a', 'one'),
      await connect('a', 'two'),
      await connect('a', 'one', 'other'),
    ];
    expect(sharedHubs.size).toBe(2);
    for (const session of sessions) await session.close();
    expect(sharedHubs.size).toBe(0);
  });

  it('stay as long as they hold a durable queue', async () => {
    const first = await connect('a', 'one');
    await first.declareQueue(specOf('q'));
    await first.close();
    expect(sharedHubs.size).toBe(1);
    const second = await connect('a', 'one');
    expect(await second.findQueue('q')).toBe(true);
    await second.deleteQueue('q', { whileInUse: false });
    await second.close();
    expect(sharedHubs.size).toBe(0);
  });

  it('are forgotten, by the way, when their last queue has expired', async () => {
    const first = await connect('a', 'one');
    await first.declareQueue(specOf('q', { expiresMs: 1_000 }));
    await first.close();
    await environment.clock.advance(1_000);
    await (await connect('b', 'one')).close();
    expect([sharedHubs.size, environment.clock.pending]).toEqual([0, 0]);
  });

  it('are not forgotten while somebody connects', async () => {
    const first = await connect('a', 'one');
    const [second] = await Promise.all([connect('a', 'two'), first.close()]);
    const third = await connect('a', 'three');
    await second.declareQueue(specOf('q'));
    expect(await third.findQueue('q')).toBe(true);
    await second.deleteQueue('q', { whileInUse: false });
    for (const session of [second, third]) await session.close();
    expect(sharedHubs.size).toBe(0);
  });
});
