import type { Clock } from '../model/clock.js';
import { Fifo } from '../model/fifo.js';

/** Work that is done in small steps: `run` does one and says whether there is more. */
export interface Task {
  run(): boolean;
}

/** How long tasks may keep the event loop before timers and sockets get their turn. */
const TURN_MS = 10;
const STEPS_BETWEEN_LOOKS = 32;

/**
 * Calls tasks in turn, never from inside the call that scheduled them, and lets the event loop go on at least every
 * 10 ms: user code is called from here only.
 */
export class Turns {
  readonly #tasks = new Fifo<Task>();
  #scheduled = false;

  /** `broken` is told of a task that threw, which is a fault of ours: the others must not stand still for it. */
  constructor(
    readonly clock: Clock,
    readonly broken: (error: unknown) => void,
  ) {}

  /** A task that is already waiting must not be scheduled again. */
  schedule(task: Task): void {
    this.#tasks.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#run);
  }

  readonly #run = (): void => {
    const began = this.clock.now();
    let steps = 0;
    for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) {
      if (this.#attempt(task)) this.#tasks.push(task);
      if (++steps % STEPS_BETWEEN_LOOKS === 0 && this.clock.now() - began >= TURN_MS) {
        setImmediate(this.#run);
        return;
      }
    }
    this.#scheduled = false;
  };

  #attempt(task: Task): boolean {
    try {
      return task.run();
    } catch (error) {
      this.broken(error);
      return false;
    }
  }
}
