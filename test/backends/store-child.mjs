/*
 * A hub on a folder, for tests that kill it: publishes in bursts and acks what comes, and says on its standard output what
 * is safe. Arguments: the folder, and a number for chance.
 */
import { writeSync } from 'node:fs';
import { openStore } from '../../dist/src/backends/file/store.js';
import { packEnvelope, PackedEnvelope } from '../../dist/src/backends/file/packed-envelope.js';
import { Hub } from '../../dist/src/backends/hub/hub.js';
import { systemEnvironment } from '../../dist/src/model/clock.js';
import { Payload } from '../../dist/src/model/payload.js';

const [folder, seed] = process.argv.slice(2);
let state = Number(seed);
const random = () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;

const environment = systemEnvironment;
const store = await openStore(folder, { environment, residentBytesMax: 100_000, ballastBytes: 0 });
const journal = store.journal('lab');
const hub = new Hub(environment, journal);
store.restore('lab', hub);
const spec = { ownership: 'shared', limit: undefined, expiresMs: undefined, queueType: undefined };
if (!hub.queues.has('q')) hub.reconcile(hub.declare({ name: 'q', ...spec }), ['#']);
const queue = hub.queue('q');

const taker = { held: new Set(), hasCredit: true, prefetch: 1e9, deliver() {}, lost() {} };
hub.operations.run(() => queue.addTaker(taker));
let next = Math.max(0, ...[...taker.held].map(({ envelope }) => Number(envelope.id.slice(2)))) + 1;
const first = Number(process.argv[4] ?? next);
next = Math.max(next, first);

const say = (letter, ids) => ids.length > 0 && writeSync(1, `${letter} ${ids.join(' ')}\n`);

function publish(count) {
  const ids = [];
  for (let left = count; left > 0; left--) {
    const id = `m-${next++}`;
    const text = 'x'.repeat(random() < 0.02 ? 20_000 : Math.floor(random() * 600));
    const payload = Payload.of({ text }, { maxBytes: 1e6 });
    const envelope = { id, topic: 'a.b', time: 1, source: 's', headers: {}, payload, resent: false };
    hub.publish(
      new PackedEnvelope('a.b', packEnvelope({ ...envelope, origin: undefined, fence: undefined })),
    );
    ids.push(id);
  }
  journal.afterFlush(() => say('c', ids));
}

function ack(share) {
  const acked = [...taker.held].filter(() => random() < share);
  const ids = acked.map(({ envelope }) => envelope.id);
  // Said before: an ack that is not safe yet may survive, or not.
  say('b', ids);
  hub.operations.run(() => {
    for (const entry of acked) {
      if (random() < 0.5) queue.begin(entry, 1);
      queue.settle(taker, entry);
    }
  });
  journal.afterFlush(() => say('a', ids));
}

function burst() {
  publish(1 + Math.floor(random() * 80));
  if (random() < 0.7) ack(random() * 0.6);
  if (random() < 0.01) void store.compact();
  if (random() < 0.3) setTimeout(burst, random() * 3);
  else setImmediate(burst);
}
burst();
