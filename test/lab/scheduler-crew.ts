import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { EvidenceReader } from './evidence.js';
import { STEPS, type DeadlyStep } from './fault-points.js';
import type { SchedulerOrders } from './scheduler-program.js';

/** Tests run from the sources, programs from what was built of them. */
const built = import.meta.dirname.replace(/(\/dist)?\/test\/lab$/, '/dist');
const PROGRAM = join(built, 'test/lab/scheduler-program.js');
/** A step is passed less often than so before it kills. */
const PASSES = 12;

export interface Testimony {
  readonly heard: number;
  readonly repeats: number;
  readonly unflagged: readonly string[];
  readonly sentAgain: number;
}

/** Masters in processes of their own; whoever is killed is replaced. */
export class SchedulerCrew {
  /** How many were killed, by whomever. */
  killed = 0;
  atSteps = 0;
  readonly crashes: string[] = [];
  readonly #orders: Pick<SchedulerOrders, 'broker' | 'namespace' | 'ownerTimeoutMs'>;
  readonly #folder: string;
  readonly #random: (below: number) => number;
  /** With their end. */
  readonly #children = new Map<ChildProcess, Promise<unknown>>();
  readonly #victims = new Set<ChildProcess>();
  readonly #readers: EvidenceReader[] = [];
  #names = 0;
  #isMortal = true;
  #isOver = false;

  constructor({
    folder,
    random,
    ...orders
  }: Pick<SchedulerOrders, 'broker' | 'namespace' | 'ownerTimeoutMs'> & {
    readonly folder: string;
    readonly random: (below: number) => number;
  }) {
    this.#orders = orders;
    this.#folder = folder;
    this.#random = random;
  }

  get size(): number {
    return this.#children.size;
  }

  /** Resolves when it runs, or has ended. */
  start(): Promise<void> {
    const name = `scheduling-${++this.#names}`;
    const testimony = join(this.#folder, `${name}.jsonl`);
    this.#readers.push(new EvidenceReader(testimony));
    const child = fork(PROGRAM, { execArgv: [] });
    const ended = new Promise<void>((resolve) =>
      child.once('exit', (code, signal) => {
        this.#ended(child, name, code, signal);
        resolve();
      }),
    );
    this.#children.set(child, ended);
    child.on('error', () => {});
    const orders: SchedulerOrders = { ...this.#orders, name, testimony, deadly: this.#deadly() };
    child.send(orders);
    const running = new Promise<void>((resolve) => child.once('message', () => resolve()));
    return Promise.race([running, ended]);
  }

  /** One of those that are there, also one that is just starting. */
  killOne(): void {
    const alive = [...this.#children.keys()].filter((child) => !this.#victims.has(child));
    const victim = alive[this.#random(alive.length)];
    if (victim) this.#kill(victim);
  }

  /** All of them are killed; so many come that nobody kills. */
  async renew(count: number): Promise<void> {
    this.#isMortal = false;
    const ends = [...this.#children.values()];
    for (const child of this.#children.keys()) this.#kill(child);
    await Promise.all(ends);
    while (this.#children.size < count) await this.start();
  }

  /** What the plain consumers got, and which emissions were sent again. To be asked before the end. */
  testimony(): Testimony {
    const times = new Map<string, { all: number; unflagged: number }>();
    let sentAgain = 0;
    for (const reader of this.#readers)
      for (let found = reader.read(); found.length > 0; found = reader.read())
        for (const one of found)
          if (one.type === 'said') sentAgain++;
          else if (one.type === 'handled') {
            const { all, unflagged } = times.get(one.id) ?? { all: 0, unflagged: 0 };
            times.set(one.id, { all: all + 1, unflagged: unflagged + Number(!one.redelivered) });
          }
    const repeated = [...times].filter(([, { all }]) => all > 1);
    // Which of two came first is not asked: one may come without a flag.
    const unflagged = repeated.flatMap(([id, one]) => (one.unflagged > 1 ? [id] : []));
    return { heard: times.size, repeats: repeated.length, unflagged, sentAgain };
  }

  async end(): Promise<void> {
    this.#isOver = true;
    for (const child of this.#children.keys()) child.kill('SIGKILL');
    await Promise.all(this.#children.values());
    for (const reader of this.#readers.splice(0)) reader.close();
  }

  /** Every other one dies by its own hand, and of these every other one when the broker has what nobody has noted. */
  #deadly(): DeadlyStep | undefined {
    if (!this.#isMortal || this.#random(2) === 0) return undefined;
    const step = this.#random(2) === 0 ? 'emission.confirmed' : STEPS[this.#random(STEPS.length)]!;
    return { step, queue: 'first', passes: this.#random(PASSES) };
  }

  #kill(child: ChildProcess): void {
    this.#victims.add(child);
    child.kill('SIGKILL');
  }

  #ended(child: ChildProcess, name: string, code: number | null, signal: NodeJS.Signals | null): void {
    this.#children.delete(child);
    if (this.#isOver) return;
    if (signal === 'SIGKILL') {
      this.killed++;
      if (!this.#victims.has(child)) this.atSteps++;
    } else this.crashes.push(`${name} ${signal ?? code}`);
    // Not waited for: the next one may be killed while this one starts.
    if (this.#isMortal) void this.start();
  }
}
