import { readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { livingHub } from '../../src/backends/file/hub-record.js';
import { placesOf } from '../../src/backends/file/runtime-folder.js';
import { isAlive } from '../../src/folder/process-identity.js';

const LOOK_MS = 20;
/** So long a hub may take to end. */
const PATIENCE_MS = 10_000;

/** The process that serves the masters of a folder: any of them may have started it. */
export class Hub {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Its process id; undefined if none runs. */
  async find(): Promise<number | undefined> {
    return (await livingHub(this.#folder))?.pid;
  }

  /** Tells it to end, and resolves when it has: with what it left behind, a sentence each. */
  async end(): Promise<readonly string[]> {
    const hub = await livingHub(this.#folder);
    if (hub) process.kill(hub.pid, 'SIGTERM');
    for (let waitedMs = 0; hub && isAlive(hub); waitedMs += LOOK_MS) {
      if (waitedMs > PATIENCE_MS) return [`the hub, process ${hub.pid}, does not end`];
      await sleep(LOOK_MS);
    }
    const { socket } = await placesOf(this.#folder);
    const own = basename(socket, '.sock');
    const files = await readdir(dirname(socket));
    return files.filter((name) => name.startsWith(own)).map((name) => `${name} of the hub`);
  }
}
