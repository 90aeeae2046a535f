import { performance } from 'node:perf_hooks';
import { Ledger } from '../../src/testing/ledger.js';
import { Failovers } from './failovers.js';
import { SCHEDULER, type FarmRecord } from './roles.js';
import type { Screen } from './screen.js';

/** Writes down what the roles report, wherever they run; answers what the farm waits for. */
export class Clerk {
  readonly ledger = new Ledger();
  readonly failovers = new Failovers(SCHEDULER, () => performance.now());
  readonly counts = { published: 0, scheduled: 0, built: 0, logLines: 0, linesFollowed: 0 };
  readonly buildsOf = new Map<string, number>();
  readonly following = new Set<string>();
  /** By exclusive queue, the master that was the last to own it. */
  readonly owners = new Map<string, string>();
  /** When something was reported for the last time. */
  heardAt = performance.now();
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  #waiters: (() => void)[] = [];

  /** When the signal aborts nobody waits any more. */
  constructor(screen: Screen, signal: AbortSignal) {
    this.#screen = screen;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  report(record: FarmRecord): void {
    this.heardAt = performance.now();
    this.#note(record);
    this.#wake();
  }

  /** Resolves when it is so; looks after each report. Rejects when the signal aborts. */
  async until(isSo: () => boolean): Promise<void> {
    this.#signal.throwIfAborted();
    while (!isSo()) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
      this.#signal.throwIfAborted();
    }
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  #note(record: FarmRecord): void {
    const { counts } = this;
    switch (record.type) {
      case 'confirmed':
        this.ledger.record(record);
        if (record.queues.includes(SCHEDULER)) counts.published++;
        return;
      case 'effect':
        return this.ledger.record(record);
      case 'handled': {
        this.ledger.record(record);
        if (record.queue === SCHEDULER) counts.scheduled++;
        const failover = this.failovers.handled(record);
        if (failover) this.#screen.note(`${failover.to} goes on with ${SCHEDULER} after ${failover.ms} ms`);
        return;
      }
      case 'built':
        counts.built++;
        counts.logLines += record.lines;
        this.buildsOf.set(record.master, (this.buildsOf.get(record.master) ?? 0) + 1);
        return;
      case 'following':
        this.following.add(record.build);
        return;
      case 'followed':
        this.following.delete(record.build);
        counts.linesFollowed += record.lines;
        if (record.missing > 0)
          this.#screen.note(
            `the log of build ${record.build} reached its follower with ${record.missing} holes`,
          );
        return;
      case 'owner':
        if (record.status !== 'active') return;
        this.owners.set(record.queue, record.master);
        return this.#screen.note(`${record.master} owns ${record.queue}`);
      case 'trouble':
        this.#screen.note(`${record.master}: ${record.text}`);
    }
  }
}
