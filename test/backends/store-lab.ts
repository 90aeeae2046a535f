import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { QueueSpec } from '../../src/backend.js';
import type { DurableQueue } from '../../src/backends/hub/durable-queue.js';
import type { Entry } from '../../src/backends/hub/queue-parts.js';
import { HubSession } from '../../src/backends/hub/hub-session.js';
import { Hub } from '../../src/backends/hub/hub.js';
import { checkDataFile } from '../../src/folder/data-file-check.js';
import { openStore, type Store, type StoreOptions } from '../../src/backends/file/store.js';
import { systemEnvironment } from '../../src/model/clock.js';
import type { Envelope } from '../../src/model/message.js';
import { Payload } from '../../src/model/payload.js';
import { specOf } from '../../src/testing/cases/member.js';
import { eventually } from '../eventually.js';

const folders: string[] = [];
const stores: Store[] = [];
const disks: string[] = [];

/** A path for a folder that is not there yet; a dot in it must not make it a file. */
export function newFolder(): string {
  const parent = realpathSync(mkdtempSync(join(tmpdir(), 'signalbox-store-')));
  folders.push(parent);
  return join(parent, 'state.d');
}

/** A small disk of its own, or undefined where nothing can be mounted. Gone after the test. */
export function mountDisk(sizeMb: number): string | undefined {
  const disk = newFolder();
  mkdirSync(disk);
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMb}m`, 'signalbox-test', disk]);
  if (status !== 0) return undefined;
  disks.push(disk);
  return disk;
}

export const canMount = (() => {
  if (mountDisk(1) === undefined) return false;
  return disks.splice(0).every(unmount);
})();

function unmount(disk: string): boolean {
  return spawnSync('umount', [disk]).status === 0;
}

/** Closed, and its folder removed, after the test. */
export async function openLab(folder: string, options: Partial<StoreOptions> = {}): Promise<Lab> {
  const store = await openStore(folder, { environment: systemEnvironment, ballastBytes: 0, ...options });
  stores.push(store);
  return new Lab(store, 'lab');
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const folder of folders) checkFolder(folder);
  for (const disk of disks.splice(0)) await eventually('it is unmounted', () => unmount(disk));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Whatever a test did, the check of a data file finds nothing wrong with what LMDB has written. */
function checkFolder(parent: string): void {
  for (const name of readdirSync(parent, { recursive: true, encoding: 'utf8' }))
    if (name.endsWith('.mdb') && !name.includes('damaged')) checkDataFile(join(parent, name));
}

export function messageOf(id: string, topic = 'a.topic', text = id): Envelope {
  return {
    ...{ id, topic, time: 1, source: 'signalbox:lab/m', headers: { number: id } },
    ...{ payload: Payload.of({ text }, { maxBytes: 2 ** 25 }), origin: undefined, resent: false },
    fence: undefined,
  };
}

/** A hub on a store, driven without sessions where a test must see what is written when. */
export class Lab {
  readonly hub: Hub;

  constructor(
    readonly store: Store,
    readonly namespace: string,
  ) {
    this.hub = new Hub(systemEnvironment, store.journal(namespace));
    store.restore(namespace, this.hub);
  }

  /** Another namespace of the same folder. */
  beside(namespace: string): Lab {
    return new Lab(this.store, namespace);
  }

  declare(name: string, settings: Partial<QueueSpec> = {}): DurableQueue {
    const queue = this.hub.declare(specOf(name, { ownership: 'shared', ...settings }));
    this.hub.reconcile(queue, ['#']);
    return queue;
  }

  publish(...ids: string[]): void {
    for (const id of ids) this.hub.publish(messageOf(id));
  }

  /** Resolves when everything up to now is safe. */
  safe(): Promise<void> {
    return new Promise((resolve) => this.store.journal(this.namespace).afterFlush(resolve));
  }

  session(master = 'm'): HubSession {
    return new HubSession(this.hub, master, 'incarnation', () => this.safe());
  }

  taker(name: string, prefetch = Infinity): LabTaker {
    const queue = this.hub.queue(name);
    const taker = new LabTaker(this.hub, queue, prefetch);
    this.hub.operations.run(() => queue.addTaker(taker));
    return taker;
  }

  /** What the queue holds, as `id`, `id!` if flagged, with the attempts behind it if there are any. */
  held(name: string): string[] {
    const taker = this.taker(name);
    const held = taker.taken;
    taker.close();
    return held;
  }
}

/** A consumer of a queue, in the same turn. */
export class LabTaker {
  readonly held = new Set<Entry>();
  readonly entries: Entry[] = [];

  constructor(
    readonly hub: Hub,
    readonly queue: DurableQueue,
    readonly prefetch: number,
  ) {}

  get hasCredit(): boolean {
    return this.held.size < this.prefetch;
  }

  get taken(): string[] {
    return this.entries.map(shown);
  }

  deliver(entry: Entry): void {
    this.entries.push(entry);
  }

  lost(): void {
    this.held.clear();
  }

  ack(count = Infinity): void {
    this.hub.operations.run(() => {
      for (const entry of [...this.held].slice(0, count)) this.queue.settle(this, entry);
    });
  }

  begin(attempt = 1): void {
    for (const entry of this.held) this.queue.begin(entry, attempt);
  }

  close(how: 'closed' | 'crashed' = 'closed'): void {
    this.hub.operations.run(() => this.queue.removeTaker(this, how));
  }
}

function shown({ envelope, redelivered, attempts }: Entry): string {
  return `${envelope.id}${redelivered ? '!' : ''}${attempts > 0 ? `+${attempts}` : ''}`;
}
