/*
 * A hub on a folder that is frozen after its first message is safe, and tries to go on when it thaws. Says what happens.
 * Arguments: the folder; to be frozen while it starts instead, which of its looks at the disk does it.
 */
import { writeSync } from 'node:fs';
import { volumeOf } from '../../src/folder/volume.js';
import { openStore } from '../../src/backends/file/store.js';
import { Hub } from '../../src/backends/hub/hub.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { Payload } from '../../src/model/payload.js';

let looksLeft = Number(process.argv[3] ?? Infinity);
const store = await openStore(process.argv[2]!, {
  environment: systemEnvironment,
  ballastBytes: 0,
  volumeOf: (folder) => {
    if (--looksLeft === 0) process.kill(process.pid, 'SIGSTOP');
    return volumeOf(folder);
  },
});
const journal = store.journal('lab');
const hub = new Hub(systemEnvironment, journal);
store.restore('lab', hub);
const settings = {
  ownership: 'shared',
  limit: undefined,
  expiresMs: undefined,
  queueType: undefined,
} as const;
if (!hub.queues.has('q')) hub.reconcile(hub.declare({ name: 'q', ...settings }), ['#']);

function publish(id: string): void {
  hub.publish({
    ...{ id, topic: 'a', time: 1, source: 's', headers: {}, resent: false },
    ...{ payload: Payload.of({ id }, { maxBytes: 1e6 }), origin: undefined, fence: undefined },
  });
  journal.afterFlush(() => writeSync(1, `confirmed ${id}\n`));
}

// Keeps the process alive until it is told to go on.
const waiting = setInterval(() => {}, 1_000);
process.once('SIGCONT', () => publish('too late'));
publish('in time');

const error = await store.failed;
writeSync(1, `${error.message}\n`);
clearInterval(waiting);
await store.close();
process.kill(process.pid, 'SIGKILL');
