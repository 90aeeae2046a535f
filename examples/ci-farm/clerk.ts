import { Ledger } from '../../src/testing/ledger.js';
import { monotonicMs } from './evidence.js';
import { Failovers, type Ownership } from './failovers.js';
import type { FarmRecord } from './records.js';
import { TREE } from './schedulers.js';
import type { Screen } from './screen.js';

/** What a master has last said of its part in the first scheduler. */
interface Standing extends Ownership {
  readonly status: string;
}

/** Writes down what the roles report, wherever they run; answers what the farm waits for. */
export class Clerk {
  readonly ledger = new Ledger();
  readonly failovers = new Failovers(TREE, monotonicMs);
  readonly counts = { published: 0, logLines: 0, linesFollowed: 0 };
  /** What is handled again, after a failover, counts once. */
  readonly scheduled = new Set<string>();
  readonly built = new Set<string>();
  readonly buildsOf = new Map<string, number>();
  readonly following = new Set<string>();
  /** By master, of those that have not left. */
  readonly standings = new Map<string, Standing>();
  /** By build, the master that runs its command. */
  readonly running = new Map<string, string>();
  /** When something was reported for the last time. */
  heardAt = monotonicMs();
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  #waiters: (() => void)[] = [];

  /** When the signal aborts nobody waits any more. */
  constructor(screen: Screen, signal: AbortSignal) {
    this.#screen = screen;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  /** Who owns the first scheduler. A frozen owner does not say that it owns it no more: the highest epoch counts. */
  get owner(): Ownership | undefined {
    let owner: Ownership | undefined;
    for (const standing of this.standings.values())
      if (standing.status === 'active' && !(owner && owner.epoch > standing.epoch)) owner = standing;
    return owner;
  }

  /** `at` is the monotonic time at which it was so. */
  report(record: FarmRecord, at: number): void {
    this.heardAt = monotonicMs();
    this.#note(record, at);
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

  #note(record: FarmRecord, at: number): void {
    const { counts } = this;
    switch (record.type) {
      case 'confirmed':
        this.ledger.record(record);
        if (record.queues.includes(TREE)) counts.published++;
        return;
      case 'effect':
        return this.ledger.record(record);
      case 'handled':
        this.ledger.record(record);
        if (record.queue === TREE) this.scheduled.add(record.id);
        return;
      case 'applied': {
        const failover = this.failovers.applied(record, at);
        if (failover) this.#screen.note(`${failover.to} goes on with ${TREE} after ${failover.ms} ms`);
        return;
      }
      case 'runs':
        this.running.set(record.build, record.master);
        return;
      case 'ran':
        if (this.running.get(record.build) === record.master) this.running.delete(record.build);
        return;
      case 'built':
        this.built.add(record.build);
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
        if (record.queue !== TREE) return;
        this.standings.set(record.master, record);
        if (record.status === 'active') this.#screen.note(`${record.master} owns ${record.queue}`);
        return;
      case 'leaves':
        this.standings.delete(record.master);
        for (const [build, master] of this.running) if (master === record.master) this.running.delete(build);
        return;
      case 'trouble':
        this.#screen.note(`${record.master}: ${record.text}`);
    }
  }
}
