import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { BuildMaster } from './crew.js';
import { EvidenceReader, monotonicMs } from './evidence.js';
import type { Repository } from './history.js';
import type { FarmRecord } from './records.js';

/** What the program of a build master is told first. */
export interface Orders {
  readonly name: string;
  readonly broker: string;
  readonly namespace: string;
  readonly repository: Repository;
  readonly command: readonly string[];
  readonly concurrency: number;
  /** The file in which it writes what it does. */
  readonly evidence: string;
}

/** What it is told later. */
export type Word = 'stop' | 'end builds';

/** What it says: that it works, and that there is more in its file. */
export type Answer = 'works' | 'wrote';

const PROGRAM = join(import.meta.dirname, 'build-master.js');
/** More than a master's own deadlines together. */
const PATIENCE_MS = 20_000;

/** A build master in a process of its own, seen from the process that has started it. */
export class MasterProcess implements BuildMaster {
  readonly name: string;
  /** Resolves when it schedules and builds; rejects when it ends before. */
  readonly works: Promise<void>;
  /** Resolves when it has gone, and everything that it had started. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #report: (record: FarmRecord, at: number) => void;
  #state: 'here' | 'frozen' | 'stopping' | 'killed' | 'gone' = 'here';
  #didNotObey = false;

  constructor(orders: Orders, report: (record: FarmRecord, at: number) => void) {
    this.name = orders.name;
    this.#report = report;
    const evidence = new EvidenceReader(orders.evidence, report);
    // A group of its own, with all of its builds. Ctrl-C reaches the farm alone, and the farm stops its masters.
    const child = fork(PROGRAM, {
      detached: true,
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child = child;
    this.works = new Promise((resolve, reject) => {
      child.on('message', (answer: Answer) => (answer === 'works' ? resolve() : evidence.read()));
      child.once('exit', (code, signal) =>
        reject(new Error(`${this.name} ended before it worked (${signal ?? code}).`)),
      );
    });
    // Whoever does not wait for it is told by its end.
    this.works.catch(() => {});
    this.ended = new Promise((resolve) =>
      child.once('close', (code, signal) => {
        evidence.read();
        evidence.close();
        this.#end(signal ?? code);
        resolve();
      }),
    );
    // A process that ends takes the channel with it.
    child.on('error', () => {});
    child.send(orders);
  }

  get isHere(): boolean {
    return this.#state === 'here';
  }

  async stop(): Promise<void> {
    if (this.#state === 'frozen') this.thaw();
    if (this.#state === 'here') {
      this.#state = 'stopping';
      this.#tell('stop');
    }
    const timer = setTimeout(() => {
      this.#didNotObey = true;
      this.kill();
    }, PATIENCE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  endBuilds(): void {
    this.#tell('end builds');
  }

  /** It has no time for a last word, and its builds end with it: as if it lost its machine. */
  kill(): void {
    if (this.#state === 'gone') return;
    this.#state = 'killed';
    this.#killGroup();
  }

  freeze(): void {
    this.#state = 'frozen';
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#state = 'here';
    this.#child.kill('SIGCONT');
  }

  leftBehind(): readonly string[] {
    const found: string[] = [];
    if (this.#state !== 'gone') found.push(`the process of ${this.name} is still there`);
    if (this.#didNotObey) found.push(`${this.name} did not end by itself`);
    return found;
  }

  #tell(word: Word): void {
    if (this.#child.connected) this.#child.send(word);
  }

  #end(how: NodeJS.Signals | number | null): void {
    const master = this.name;
    const at = monotonicMs();
    const wasMeant = this.#state === 'killed' || (this.#state === 'stopping' && how === 0);
    this.#state = 'gone';
    // What its builds have started and left.
    this.#killGroup();
    if (!wasMeant) this.#report({ type: 'trouble', master, text: `its process has ended (${how})` }, at);
    this.#report({ type: 'leaves', master }, at);
  }

  #killGroup(): void {
    try {
      process.kill(-this.#child.pid!, 'SIGKILL');
    } catch {
      // Nobody is left in it.
    }
  }
}
