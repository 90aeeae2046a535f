import { createMaster, type Master } from 'signalbox';
import { publishChanges } from './changes.js';
import { Clerk } from './clerk.js';
import { leftBehindOf } from './crew-here.js';
import { monotonicMs } from './evidence.js';
import type { Fault, Stage } from './faults.js';
import { followLogs } from './followers.js';
import type { Repository } from './history.js';
import { activeResources, cleanBroker, newResources } from './left-behind.js';
import type { Options } from './options.js';
import type { Processes } from './processes.js';
import type { Farm, FarmRecord } from './records.js';
import { watch } from './roles.js';
import type { Screen, View } from './screen.js';
import { openSite, type Site } from './site.js';
import type { Outcome } from './summary.js';
import { testify } from './witness.js';

const CONCURRENCY = 2;
const TICK_MS = 100;
/** No report for so long though no build runs: what is missing will not come. */
const STALL_MS = 30_000;

/** The user, or the system, wants it to end. */
export class Interrupted extends Error {}

class Stalled extends Error {}

/** Changes that come together, as from `git push`. */
const PUSH = 10;

/**
 * The farm: build masters, each with the schedulers and a builder, and here the front, a master that publishes the changes,
 * follows logs and is witness to what the schedulers do.
 */
export class CiFarm implements Farm {
  readonly command: readonly string[];
  readonly concurrency = CONCURRENCY;
  readonly #options: Options;
  readonly #screen: Screen;
  readonly #clerk: Clerk;
  readonly #site: Site;
  readonly #resourcesBefore = activeResources();
  readonly #startedAt = monotonicMs();
  readonly #over = new AbortController();
  #front: Master | undefined;
  #joined = 0;
  #isTicking = false;
  /** What faults have begun: it must be over before the farm is. */
  readonly #underWay: Promise<unknown>[] = [];

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
    this.#site = openSite(options.broker, this, (record, at) => this.#hear(record, at));
  }

  report(record: FarmRecord): void {
    this.#hear(record, monotonicMs());
  }

  /** Whatever it ends with, everything has stopped then. Rejects with `Interrupted`, or with what made it impossible. */
  async run(): Promise<Outcome> {
    const work = this.#work();
    const { signal } = this.#over;
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    );
    let elapsedMs = 0;
    let leftBehind: readonly string[] = [];
    try {
      await Promise.race([work, aborted]);
    } catch (error) {
      // The ledger says what did not come.
      if (!(error instanceof Stalled)) throw error;
      this.#screen.note(error.message);
    } finally {
      this.#over.abort(new Interrupted());
      await this.#stop(work);
      elapsedMs = monotonicMs() - this.#startedAt;
      leftBehind = await this.#clean();
    }
    return this.#judge(elapsedMs, leftBehind);
  }

  interrupt(): void {
    this.#over.abort(new Interrupted());
  }

  /** By force: nothing that was started outlives this. */
  abandon(): void {
    this.#site.abandon();
  }

  async #work(): Promise<void> {
    const { masters, commits, ahead } = this.#options;
    const { ledger, built } = this.#clerk;
    const front = await this.#open();
    const ticker = setInterval(() => void this.#tick(front), TICK_MS);
    try {
      await testify(front, this);
      await Promise.all(Array.from({ length: masters }, () => this.#join()));
      const followers = await followLogs(front, this);
      const { size, faults } = this.#plan();
      await publishChanges(front, this, {
        commits,
        next: async (first) => {
          const count = Math.min(size, commits - first + 1);
          await this.#clerk.until(() => first + count - 1 - built.size <= ahead);
          const fault = faults.get(first);
          return { size: count, middle: fault ? await this.#prepare(fault) : async () => {} };
        },
      });
      await this.#clerk.until(() => ledger.outstanding === 0);
      await Promise.all(this.#underWay);
      await this.#drained(front);
      await followers.end();
      await this.#tick(front);
    } finally {
      clearInterval(ticker);
    }
  }

  async #open(): Promise<Master> {
    const front = await createMaster({ name: 'front', ...this.#site.ground });
    this.#front = front;
    this.#over.signal.throwIfAborted();
    watch(front, this);
    return front;
  }

  async #join(): Promise<void> {
    const name = `build-${++this.#joined}`;
    this.#clerk.buildsOf.set(name, 0);
    if (this.#joined > this.#options.masters) this.#screen.note(`${name} joins`);
    await this.#site.crew.join(name);
  }

  /** Faults by the change with which their push begins: spread over the run, and one in a push at most. */
  #plan(): { readonly size: number; readonly faults: ReadonlyMap<number, Fault> } {
    const { commits, ahead } = this.#options;
    const stage: Stage = { clerk: this.#clerk, screen: this.#screen, join: () => this.#join() };
    const faults = this.#options.faults ? this.#site.crew.faults(stage) : [];
    const parts = faults.length + 1;
    const size = Math.min(PUSH, ahead, Math.max(1, Math.floor(commits / parts)));
    const pushes = Math.ceil(commits / size);
    const pushOf = (index: number) => (pushes < parts ? index : Math.floor(((index + 1) * pushes) / parts));
    return { size, faults: new Map(faults.map((fault, index) => [pushOf(index) * size + 1, fault])) };
  }

  /** Resolves when it can happen, with what makes it happen. */
  async #prepare(fault: Fault): Promise<() => Promise<void>> {
    await Promise.all(this.#underWay);
    await fault.next();
    return async () => {
      await fault.next();
      const rest = fault.next();
      this.#underWay.push(rest);
      // What goes wrong with it ends the farm.
      rest.catch((error: unknown) => this.#over.abort(error));
    };
  }

  /** What was done twice, since somebody died of it, is done as well. */
  async #drained(front: Master): Promise<void> {
    while ((await front.queues()).some(({ depth }) => depth > 0)) {
      this.#over.signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }

  #everyone(): { stop(): Promise<void> }[] {
    const { masters } = this.#site.crew;
    return this.#front ? [this.#front, ...masters] : [...masters];
  }

  async #stop(work: Promise<void>): Promise<void> {
    const stopAll = () => this.#everyone().map((master) => master.stop());
    const stops = stopAll();
    this.#site.crew.endBuilds();
    this.processes.close();
    await Promise.allSettled([...stops, ...this.#underWay, work]);
    // Who came too late to be stopped with the others.
    await Promise.allSettled(stopAll());
  }

  async #clean(): Promise<readonly string[]> {
    const { ground, crew } = this.#site;
    const isKnown = this.#front !== undefined;
    return [
      ...(this.#front ? leftBehindOf(this.#front) : []),
      ...crew.leftBehind(),
      ...(isKnown ? await cleanBroker(ground).catch((error: unknown) => [String(error)]) : []),
      ...(await this.#site.close()),
      ...(this.processes.running > 0 ? [`${this.processes.running} child processes`] : []),
      ...(await newResources(this.#resourcesBefore)),
    ];
  }

  #hear(record: FarmRecord, at: number): void {
    // That masters stop at the end is no news.
    if (this.#over.signal.aborted && (record.type === 'owner' || record.type === 'trouble')) return;
    this.#clerk.report(record, at);
  }

  async #tick(front: Master): Promise<void> {
    const { heardAt, running } = this.#clerk;
    if (monotonicMs() - heardAt > STALL_MS && running.size === 0)
      this.#over.abort(
        new Stalled(`Nothing has moved for ${STALL_MS / 1_000} s: what is missing is not awaited.`),
      );
    if (this.#isTicking) return;
    this.#isTicking = true;
    try {
      const queues = await front.queues();
      if (!this.#over.signal.aborted) this.#screen.show(this.#view(queues));
    } catch {
      // The front stops.
    }
    this.#isTicking = false;
  }

  #view(queues: View['queues']): View {
    const { counts, scheduled, built, buildsOf, following } = this.#clerk;
    const { masters } = this.#site.crew;
    const isHere = (name: string) => masters.some((one) => one.name === name && one.isHere);
    return {
      ...counts,
      scheduled: scheduled.size,
      built: built.size,
      elapsedMs: monotonicMs() - this.#startedAt,
      commits: this.#options.commits,
      queues,
      builders: [...buildsOf].map(([name, builds]) => ({ name, builds, isHere: isHere(name) })),
      following: [...following],
    };
  }

  #judge(elapsedMs: number, leftBehind: readonly string[]): Outcome {
    const { ledger, failovers, counts, built } = this.#clerk;
    return {
      ledger,
      verdict: ledger.judge({ leftBehind: leftBehind.length }),
      failovers: failovers.all,
      leftBehind,
      builds: built.size,
      logLines: counts.logLines,
      linesFollowed: counts.linesFollowed,
      elapsedMs,
    };
  }
}
