import type { Clock } from '../model/clock.js';
import { Fifo } from '../model/fifo.js';

/** Work that is done in small steps. */
export interface Task {
  /** Does one step, and says whether there is more. */
  run(): boolean;
  /** A step threw: the task is waiting no more. It goes on, or ends as failed, but does not stand still. */
  broke(error: unknown): void;
}

/** How long tasks may keep the event loop before timers and sockets get their turn. */
const TURN_MS = 10;
const STEPS_BETWEEN_LOOKS = 16;
/** What the steps between two looks count for at most: a process that had to wait for its core has not used the time. */
const COUNTED_MAX_MS = TURN_MS / 2;

/**
 * Calls tasks in turn, never from inside the call that scheduled them, and lets the event loop go on after about 10 ms of
 * work: user code is called from here only.
 */
export class Turns {
  readonly #tasks = new Fifo<Task>();
  #scheduled = false;
  #wall: number | undefined;

  /** `broken` is told of a task that threw, which is a fault of ours: the others must not stand still for it. */
  constructor(
    readonly clock: Clock,
    readonly broken: (error: unknown) => void,
  ) {}

  /** Unix time in milliseconds, read once for all that happens while tasks wait to be called. */
  get wall(): number {
    if (!this.#scheduled) return this.clock.wall();
    return (this.#wall ??= this.clock.wall());
  }

  /** A task that is already waiting must not be scheduled again. */
  schedule(task: Task): void {
    this.#tasks.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#run);
  }

  readonly #run = (): void => {
    let looked = this.clock.now();
    let spentMs = 0;
    let steps = 0;
    for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) {
      if (this.#attempt(task)) this.#tasks.push(task);
      if (++steps % STEPS_BETWEEN_LOOKS !== 0) continue;
      const now = this.clock.now();
      spentMs += Math.min(now - looked, COUNTED_MAX_MS);
      looked = now;
      if (spentMs < TURN_MS) continue;
      this.#wall = undefined;
      setImmediate(this.#run);
      return;
    }
    this.#scheduled = false;
    this.#wall = undefined;
  };

  #attempt(task: Task): boolean {
    try {
      return task.run();
    } catch (error) {
      this.broken(error);
      task.broke(error);
      return false;
    }
  }
}
