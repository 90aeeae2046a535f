import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'vitest';
import { Hub } from '../../src/backends/hub/hub.js';
import type { DurableQueue } from '../../src/backends/hub/durable-queue.js';
import { openStore, type Store } from '../../src/backends/file/store.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { Payload } from '../../src/model/payload.js';
import { specOf } from '../../src/testing/cases/member.js';

const folders: string[] = [];
const stores: Store[] = [];

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'signalbox-store-'));
  folders.push(path);
  return join(path, 'folder.d');
}

async function open(path: string): Promise<Store> {
  const store = await openStore(path, { environment: systemEnvironment });
  stores.push(store);
  return store;
}

function hubOf(store: Store, namespace = 'n'): Hub {
  const hub = new Hub(systemEnvironment, store.journal(namespace));
  store.restore(namespace, hub);
  return hub;
}

function envelope(id: string, topic = 't') {
  return {
    ...{ id, topic, time: 1, source: 's', headers: {}, payload: Payload.of({ id }, { maxBytes: 100_000 }) },
    ...{ origin: undefined, resent: false, fence: undefined },
  };
}

const flushed = (store: Store) => new Promise<void>((resolve) => store.journal('n').afterFlush(resolve));

function take(queue: DurableQueue): string[] {
  const ids: string[] = [];
  const taker = {
    prefetch: Infinity,
    hasCredit: true,
    held: new Set<never>(),
    deliver: (entry: { envelope: { id: string }; redelivered: boolean }) =>
      void ids.push(entry.envelope.id + (entry.redelivered ? '!' : '')),
    lost: () => {},
  };
  queue.addTaker(taker);
  while (queue.work());
  queue.takers.length = 0;
  return ids;
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

describe('the store', () => {
  it('brings back what was safe, in order, unflagged after a clean end', async () => {
    const path = folder();
    const store = await open(path);
    const hub = hubOf(store);
    const queue = hub.declare(specOf('q'));
    hub.reconcile(queue, ['#']);
    for (let i = 0; i < 10; i++) hub.publish(envelope(`a-${i}`));
    await flushed(store);
    await store.close();
    const again = hubOf(await open(path));
    assert.deepEqual(
      take(again.queue('q')),
      Array.from({ length: 10 }, (_, i) => `a-${i}`),
    );
    assert.deepEqual([...again.queue('q').bindings], ['#']);
  });
});
