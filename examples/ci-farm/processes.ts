import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';

/** How a process ended. */
interface Ending {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

export interface Run {
  /** Nothing is lost of these two; a process whose output is not read waits. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles when the process is gone and both streams have ended. */
  readonly ended: Promise<Ending>;
  /** Harmless when it has ended. */
  kill(): void;
}

const HAS_GROUPS = process.platform !== 'win32';
/** So long a process may take to obey before it is ended by force. */
const PATIENCE_MS = 1_000;

/**
 * The child processes of the farm. `apart`: each is in a group of its own with what it starts itself, so that all of it can
 * be ended. `together`: in the group of this process, so that whoever kills that group leaves none of them, and when one is
 * ended what it has started itself stays until then. Git's own variables do not reach them: a hook that starts the farm
 * would set them.
 */
export class Processes {
  readonly #running = new Set<Run>();
  readonly #environment = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX)$/.test(name)),
  );
  readonly #isApart: boolean;
  #closed = false;

  constructor(groups: 'apart' | 'together') {
    this.#isApart = groups === 'apart' && HAS_GROUPS;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Resolves once it runs. */
  async start([program, ...words]: readonly string[], folder: string): Promise<Run> {
    if (this.#closed) throw new Error('The farm stops: no process is started any more.');
    const child = spawn(program!, words, {
      cwd: folder,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: this.#isApart,
      windowsHide: true,
    });
    const ended = new Promise<Ending>((resolve) =>
      child.once('close', (exitCode, signal) => {
        this.#running.delete(run);
        resolve({ exitCode: exitCode ?? undefined, signal: signal ?? undefined });
      }),
    );
    const run: Run = {
      stdout: child.stdout,
      stderr: child.stderr,
      ended,
      kill: () => this.#kill(child, run),
    };
    this.#running.add(run);
    try {
      await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    } catch (error) {
      this.#running.delete(run);
      throw error;
    }
    // A signal that cannot be delivered, and the like: what counts is that it ends.
    child.on('error', () => {});
    if (this.#closed) run.kill();
    return run;
  }

  /** Ends all of them; from now on none is started. */
  close(): void {
    this.#closed = true;
    for (const run of this.#running) run.kill();
  }

  #kill(child: ChildProcess, run: Run): void {
    if (!this.#running.has(run)) return;
    this.#signal(child, 'SIGTERM');
    const timer = setTimeout(() => {
      this.#signal(child, 'SIGKILL');
      // Whoever left the group may keep the pipes open, but not us.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, PATIENCE_MS);
    void run.ended.then(() => clearTimeout(timer));
  }

  #signal(child: ChildProcess, signal: NodeJS.Signals): void {
    try {
      if (this.#isApart) process.kill(-child.pid!, signal);
      else child.kill(signal);
    } catch {
      // Nobody is left in it.
    }
  }
}

/** Whether a program of that name would be found, seen from that folder. */
export function findProgram(name: string, folder: string): boolean {
  const endings = process.platform === 'win32' ? ['', ...(process.env.PATHEXT ?? '.EXE').split(';')] : [''];
  const places = /[\\/]/.test(name)
    ? [resolve(folder, name)]
    : (process.env.PATH ?? '').split(delimiter).map((place) => join(resolve(folder, place), name));
  return places.some((place) => endings.some((ending) => isProgram(place + ending)));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
