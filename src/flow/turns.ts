import type { Clock } from '../model/clock.js';

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
  #tasks: Task[] = [];
  #scheduled = false;
  #turnedAt: number;

  constructor(readonly clock: Clock) {
    this.#turnedAt = clock.now();
  }

  /** A task that is already waiting must not be scheduled again. */
  schedule(task: Task): void {
    this.#tasks.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (this.clock.now() - this.#turnedAt < TURN_MS) queueMicrotask(this.#run);
    else setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turnedAt = this.clock.now();
    this.#run();
  };

  readonly #run = (): void => {
    let steps = 0;
    let tasks = this.#tasks;
    this.#tasks = [];
    for (let at = 0; tasks.length > 0; at++) {
      if (at === tasks.length) {
        at = 0;
        tasks = this.#tasks;
        this.#tasks = [];
        if (tasks.length === 0) break;
      }
      const task = tasks[at]!;
      if (task.run()) this.#tasks.push(task);
      if (++steps % STEPS_BETWEEN_LOOKS === 0 && this.clock.now() - this.#turnedAt >= TURN_MS) {
        this.#tasks = [...tasks.slice(at + 1), ...this.#tasks];
        setImmediate(this.#turn);
        return;
      }
    }
    this.#scheduled = false;
  };
}
