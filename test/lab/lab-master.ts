import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Commands } from './master-program.js';

/** Tests run from the sources, programs from what was built of them. */
const built = import.meta.dirname.replace(/(\/dist)?\/test\/lab$/, '/dist');
const PROGRAM = join(built, 'test/lab/master-program.js');

type Arguments<Name extends keyof Commands> = Parameters<Commands[Name]>;
type Answer<Name extends keyof Commands> = Awaited<ReturnType<Commands[Name]>>;

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** What a command was refused with. */
export class CommandError extends Error {
  constructor(
    readonly code: string | undefined,
    text: string,
  ) {
    super(text);
  }
}

/** A master in another process, as the laboratory holds it. */
export class LabMaster {
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #waiters = new Map<number, Waiter>();
  #numbers = 0;
  #hasEnded = false;

  private constructor(
    readonly name: string,
    child: ChildProcess,
  ) {
    this.#child = child;
    this.ended = new Promise((resolve) =>
      child.once('exit', (code, signal) => {
        this.#hasEnded = true;
        const error = new Error(`Master ${name} has ended (${signal ?? code}).`);
        for (const { reject } of this.#waiters.values()) reject(error);
        this.#waiters.clear();
        resolve();
      }),
    );
    child.on('error', () => {});
    child.on(
      'message',
      (answer: { number?: number; result?: unknown; error?: { code?: string; text: string } }) => {
        if (answer.number === undefined) return;
        const waiter = this.#waiters.get(answer.number);
        this.#waiters.delete(answer.number);
        if (answer.error) waiter?.reject(new CommandError(answer.error.code, answer.error.text));
        else waiter?.resolve(answer.result);
      },
    );
  }

  /** Resolves when the program takes commands; it has no master yet. */
  static async start(
    name: string,
    options: { readonly testimony: string; readonly env: NodeJS.ProcessEnv; readonly cwd: string },
  ): Promise<LabMaster> {
    const { testimony, env, cwd } = options;
    const child = fork(PROGRAM, [testimony], {
      env,
      cwd,
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const master = new LabMaster(name, child);
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', (code, signal) =>
        reject(new Error(`The program of master ${name} did not start (${signal ?? code}).`)),
      );
    });
    return master;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get isAlive(): boolean {
    return !this.#hasEnded;
  }

  /** Rejects with a CommandError, or when the process ends before it has answered. */
  call<Name extends keyof Commands>(command: Name, ...args: Arguments<Name>): Promise<Answer<Name>> {
    if (this.#hasEnded) return Promise.reject(new Error(`Master ${this.name} has ended.`));
    const number = ++this.#numbers;
    const answer = new Promise<Answer<Name>>((resolve, reject) =>
      this.#waiters.set(number, { resolve: resolve as (value: unknown) => void, reject }),
    );
    // Nobody may be waiting when it is killed.
    answer.catch(() => {});
    this.#child.send({ number, command, args: args[0] });
    return answer;
  }

  /** At once, without a word to anybody. */
  async kill(): Promise<void> {
    this.#signal('SIGKILL');
    await this.ended;
  }

  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** A proper end of the master and of its process. */
  async stop(): Promise<void> {
    await this.call('stop');
    await this.end();
  }

  /** Ends the process, whose master has stopped or was never made. */
  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.ended;
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.#hasEnded) this.#child.kill(signal);
  }
}
