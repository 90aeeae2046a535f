import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { createMaster, type Master } from 'signalbox';
import { Clerk } from './clerk.js';
import type { Repository } from './history.js';
import { activeResources, findLeftBehind } from './left-behind.js';
import type { Options } from './options.js';
import type { Processes } from './processes.js';
import { SCHEDULER, build, followLogs, publishChanges, schedule, watch, watchRequests } from './roles.js';
import type { Farm, FarmRecord } from './roles.js';
import type { Screen, View } from './screen.js';
import type { Outcome } from './summary.js';

const CONCURRENCY = 2;
const TICK_MS = 100;
/** No report for so long though no process runs: what is missing will not come. */
const STALL_MS = 30_000;

/** The user, or the system, wants it to end. */
export class Interrupted extends Error {}

class Stalled extends Error {}

/** Changes that come together, as from `git push`. */
const PUSH = 10;

/** Happens in the middle of the push that has the change of this number: some wait in the queue, some are still to come. */
interface Fault {
  readonly change: number;
  readonly happen: () => void;
}

/**
 * The farm in one process: the build masters, each with a scheduler and a builder, and the front, a master that publishes
 * the changes and follows logs.
 */
export class CiFarm implements Farm {
  readonly command: readonly string[];
  readonly concurrency = CONCURRENCY;
  readonly #options: Options;
  readonly #screen: Screen;
  readonly #clerk: Clerk;
  readonly #broker = `memory:farm-${randomBytes(4).toString('hex')}`;
  readonly #resourcesBefore = activeResources();
  readonly #startedAt = performance.now();
  readonly #over = new AbortController();
  /** All that ever were. */
  readonly #masters: Master[] = [];
  /** What faults have begun: it must be over before the farm is. */
  readonly #underWay: Promise<void>[] = [];

  constructor(
    options: Options,
    readonly repository: Repository,
    readonly processes: Processes,
    screen: Screen,
  ) {
    this.command = options.command;
    this.#options = options;
    this.#screen = screen;
    this.#clerk = new Clerk(screen, this.#over.signal);
  }

  report(record: FarmRecord): void {
    // That masters stop at the end is no news.
    if (this.#over.signal.aborted && (record.type === 'owner' || record.type === 'trouble')) return;
    this.#clerk.report(record);
  }

  /** Whatever it ends with, everything has stopped then. Rejects with `Interrupted`, or with what made it impossible. */
  async run(): Promise<Outcome> {
    const work = this.#work();
    const { signal } = this.#over;
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    );
    try {
      await Promise.race([work, aborted]);
    } catch (error) {
      // The ledger says what did not come.
      if (!(error instanceof Stalled)) throw error;
      this.#screen.note(error.message);
    } finally {
      this.#over.abort(new Interrupted());
      const stops = this.#masters.map((master) => master.stop());
      this.processes.close();
      await Promise.allSettled([...stops, ...this.#underWay, work]);
    }
    return this.#judge();
  }

  interrupt(): void {
    this.#over.abort(new Interrupted());
  }

  async #work(): Promise<void> {
    const { masters, commits, ahead } = this.#options;
    const { ledger, counts } = this.#clerk;
    const front = await this.#createMaster('front');
    const ticker = setInterval(() => void this.#tick(front), TICK_MS);
    try {
      await Promise.all(Array.from({ length: masters }, (_, index) => this.#join(`build-${index + 1}`)));
      await watchRequests(front, this);
      const followers = await followLogs(front, this);
      const faults = this.#planFaults();
      await publishChanges(front, this, {
        commits,
        next: async (first) => {
          const size = Math.min(PUSH, ahead, commits - first + 1);
          await this.#clerk.until(() => first + size - 1 - counts.built <= ahead);
          const due = faults.filter(({ change }) => change >= first && change < first + size);
          return { size, middle: () => due.forEach(({ happen }) => happen()) };
        },
      });
      await this.#clerk.until(() => ledger.outstanding === 0);
      await followers.end();
      await Promise.all(this.#underWay);
      await this.#tick(front);
    } finally {
      clearInterval(ticker);
    }
  }

  async #join(name: string): Promise<void> {
    const master = await this.#createMaster(name);
    this.#clerk.buildsOf.set(name, 0);
    await schedule(master, this);
    await build(master, this);
  }

  async #createMaster(name: string): Promise<Master> {
    const master = await createMaster({ name, broker: this.#broker });
    this.#masters.push(master);
    if (this.#over.signal.aborted) {
      // It came too late to be stopped with the others.
      await master.stop();
      this.#over.signal.throwIfAborted();
    }
    watch(master, this);
    master.done.catch((error: unknown) =>
      this.report({ type: 'trouble', master: name, text: String(error) }),
    );
    return master;
  }

  #planFaults(): Fault[] {
    const { commits, masters, faults } = this.#options;
    if (!faults) return [];
    const stop = () => this.#stopOwner();
    const join = () => {
      const name = `build-${masters + 1}`;
      this.#screen.note(`${name} joins`);
      this.#begin(this.#join(name));
    };
    // A single master cannot go before another one has come.
    const [first, second] = masters > 1 ? [stop, join] : [join, stop];
    return [
      { change: Math.ceil(commits / 3), happen: first },
      { change: Math.ceil((commits * 2) / 3), happen: second },
    ];
  }

  #stopOwner(): void {
    const owner = this.#masters.find(({ name }) => name === this.#clerk.owners.get(SCHEDULER));
    if (!owner) return;
    this.#screen.note(`${owner.name}, which owns ${SCHEDULER}, stops`);
    this.#clerk.failovers.begins('stopped', owner.name);
    this.#begin(owner.stop().then(() => this.#screen.note(`${owner.name} has stopped`)));
  }

  /** What goes wrong with it ends the farm. */
  #begin(something: Promise<void>): void {
    this.#underWay.push(something);
    something.catch((error: unknown) => this.#over.abort(error));
  }

  async #tick(front: Master): Promise<void> {
    const quietMs = performance.now() - this.#clerk.heardAt;
    if (quietMs > STALL_MS && this.processes.running === 0)
      this.#over.abort(
        new Stalled(`Nothing has moved for ${STALL_MS / 1_000} s: what is missing is not awaited.`),
      );
    try {
      const queues = await front.queues();
      if (!this.#over.signal.aborted) this.#screen.show(this.#view(queues));
    } catch {
      // The front stops.
    }
  }

  #view(queues: View['queues']): View {
    const { counts, buildsOf, following } = this.#clerk;
    const isHere = (name: string) => this.#masters.some((one) => one.name === name && one.status === 'ready');
    return {
      ...counts,
      elapsedMs: performance.now() - this.#startedAt,
      commits: this.#options.commits,
      queues,
      builders: [...buildsOf].map(([name, builds]) => ({ name, builds, isHere: isHere(name) })),
      following: [...following],
    };
  }

  async #judge(): Promise<Outcome> {
    const elapsedMs = performance.now() - this.#startedAt;
    const { ledger, failovers, counts } = this.#clerk;
    const leftBehind = await findLeftBehind({
      broker: this.#broker,
      masters: this.#masters,
      processes: this.processes,
      before: this.#resourcesBefore,
    });
    return {
      ledger,
      verdict: ledger.judge({ leftBehind: leftBehind.length }),
      failovers: failovers.all,
      leftBehind,
      builds: counts.built,
      logLines: counts.logLines,
      linesFollowed: counts.linesFollowed,
      elapsedMs,
    };
  }
}
