import { livingHub, type HubRecord } from '../../src/backends/file/hub-record.js';
import { isAlive } from '../../src/folder/process-identity.js';
import { eventually } from '../eventually.js';
import { memoryOf, openFilesOf } from './processes.js';

/** The hub of a folder, found by its record, as a thing to be hurt. */
export class HubProcess {
  private constructor(
    readonly folder: string,
    readonly record: HubRecord,
  ) {}

  /** Undefined if none lives. */
  static async find(folder: string): Promise<HubProcess | undefined> {
    const record = await livingHub(folder);
    return record && new HubProcess(folder, record);
  }

  get pid(): number {
    return this.record.pid;
  }

  get memory(): number {
    return memoryOf(this.pid);
  }

  get openFiles(): number {
    return openFilesOf(this.pid);
  }

  async kill(): Promise<void> {
    this.#signal('SIGKILL');
    await this.gone();
  }

  /** Asks it to end. */
  async end(): Promise<void> {
    this.#signal('SIGTERM');
    await this.gone();
  }

  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  async gone(timeoutMs?: number): Promise<void> {
    await eventually(`hub ${this.pid} has gone`, () => !isAlive(this.record), timeoutMs);
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}
