import type { Clock, Timer } from '../../model/clock.js';
import { packLogMark } from './records.js';
import type { Databases } from './databases.js';
import type { Leftovers } from './leftovers.js';
import type { Space } from './space.js';
import type { MessageMemory } from './stored-queue.js';
import { TableChanges } from './table-changes.js';

/** What has waited so long in the log goes to the table also when nothing else happens. */
const TAKEN_AFTER_MS = 1_000;

export interface TablePorts {
  readonly databases: Databases;
  readonly clock: Clock;
  readonly space: Space;
  readonly leftovers: Leftovers;
  readonly memory: MessageMemory;
  readonly residentBytesMax: number;
  /** In one transaction, and only as long as this hub has the folder. Resolves when it is safe. */
  readonly commit: (write: () => void) => Promise<void>;
  /** It has become due. */
  readonly due: () => void;
}

/** The data file, and what it is still to take: the log has that until then. */
export class Table {
  gathered = new TableChanges();
  /** On its way. */
  sealed: TableChanges | undefined;
  readonly #ports: TablePorts;
  #timer: Timer | undefined;
  #isLate = false;

  constructor(ports: TablePorts) {
    this.#ports = ports;
  }

  get isDue(): boolean {
    return this.#isLate || !this.#ports.leftovers.isEmpty;
  }

  /** Nothing is to be taken. */
  get isIdle(): boolean {
    return this.gathered.isEmpty && !this.sealed && this.#ports.leftovers.isEmpty;
  }

  /** Of what is not in it yet. */
  get pendingBytes(): number {
    return this.gathered.bytes + (this.sealed?.bytes ?? 0);
  }

  /** Something was gathered. */
  watch(): void {
    if (this.gathered.isEmpty) return;
    this.#timer ??= this.#ports.clock.setTimeout(() => {
      this.#isLate = true;
      this.#ports.due();
    }, TAKEN_AFTER_MS);
  }

  end(): void {
    this.#ports.clock.clearTimeout(this.#timer);
  }

  /**
   * Takes everything that was gathered: resolves when it is safe, and the log up to this generation needed no more. As one
   * transaction where the disk allows it; else the removals follow bit by bit.
   */
  async take(hub: number, generation: number): Promise<void> {
    const { databases, space, leftovers, commit } = this.#ports;
    this.end();
    this.#timer = undefined;
    this.#isLate = false;
    leftovers.fill(this.gathered);
    const changes = (this.sealed = this.gathered);
    this.gathered = new TableChanges();
    changes.seal();
    const { bytes, removals } = changes;
    let removed = 0;
    do {
      const from = removed;
      removed += await space.admit(from === 0 ? bytes : 0, removals - from);
      await commit(() => {
        if (from === 0) changes.write(databases);
        changes.removeSome(databases, from, removed);
        if (removed === removals) void databases.meta.put('log', packLogMark({ hub, generation }), 0);
      });
    } while (removed < removals);
    this.sealed = undefined;
    this.#taken(changes);
  }

  #taken(changes: TableChanges): void {
    const { leftovers, memory, residentBytesMax } = this.#ports;
    changes.leaveMemory(memory.bytes - residentBytesMax);
    for (const number of changes.emptied) leftovers.add(number);
  }
}
