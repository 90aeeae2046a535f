/*
 * A hub on a folder, for tests that kill it: publishes in bursts, acks some of what comes, and says on its standard output
 * what is confirmed (c), what is about to be acked (b) and whose ack is safe (a). Arguments: the folder, a number for
 * chance, the number of the first message.
 */
import { writeSync } from 'node:fs';
import { openStore } from '../../src/backends/file/store.js';
import { packEnvelope, PackedEnvelope } from '../../src/backends/file/packed-envelope.js';
import type { Entry } from '../../src/backends/hub/queue-parts.js';
import { Hub } from '../../src/backends/hub/hub.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { Payload } from '../../src/model/payload.js';
import { specOf } from '../../src/testing/cases/member.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';

const [folder, seed, first] = process.argv.slice(2);
const { random } = virtualEnvironment(Number(seed));
let next = Number(first);

const options = { environment: systemEnvironment, residentBytesMax: 100_000, ballastBytes: 0 };
const store = await openStore(folder!, options);
const journal = store.journal('lab');
const hub = new Hub(systemEnvironment, journal);
store.restore('lab', hub);
if (!hub.queues.has('q')) hub.reconcile(hub.declare(specOf('q', { ownership: 'shared' })), ['#']);
const queue = hub.queue('q');

const taker = { held: new Set<Entry>(), hasCredit: true, prefetch: Infinity, deliver() {}, lost() {} };
hub.operations.run(() => queue.addTaker(taker));

function say(letter: 'a' | 'b' | 'c', ids: readonly string[]): void {
  if (ids.length > 0) writeSync(1, `${letter} ${ids.join(' ')}\n`);
}

function publish(count: number): void {
  const ids: string[] = [];
  for (let left = count; left > 0; left--) {
    const id = `m-${next++}`;
    const text = 'x'.repeat(random() < 0.02 ? 20_000 : Math.floor(random() * 600));
    const bytes = packEnvelope({
      ...{ id, topic: 'a.b', time: 1, source: 's', headers: {}, resent: false },
      ...{ payload: Payload.of({ text }, { maxBytes: 1e6 }), origin: undefined, fence: undefined },
    });
    hub.publish(new PackedEnvelope('a.b', bytes));
    ids.push(id);
  }
  journal.afterFlush(() => say('c', ids));
}

function ack(share: number): void {
  const acked = [...taker.held].filter(() => random() < share);
  const ids = acked.map(({ envelope }) => envelope.id);
  say('b', ids);
  hub.operations.run(() => {
    for (const entry of acked) {
      if (random() < 0.5) queue.begin(entry, 1);
      queue.settle(taker, entry);
    }
  });
  journal.afterFlush(() => say('a', ids));
}

function burst(): void {
  publish(1 + Math.floor(random() * 80));
  if (random() < 0.7) ack(random() * 0.6);
  if (random() < 0.01) void store.compact();
  if (random() < 0.3) setTimeout(burst, random() * 3);
  else setImmediate(burst);
}

burst();
