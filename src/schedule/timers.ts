import type { ChartEvent } from '../model/statechart.js';

/** An event that a machine sends to itself at a time. */
export interface Timer {
  readonly id: string;
  /** Unix time in milliseconds, so that it means the same to another master. */
  readonly at: number;
  readonly event: ChartEvent;
}

/** The name of one run of a timer: the same on every master. */
export function occurrenceOf({ id, at }: Timer): string {
  return `${id}@${at}`;
}

/** The timers that are set, by id. Of those that are due together, the one that was set first is first. */
export class Timers {
  readonly #timers = new Map<string, Timer>();

  set(timer: Timer): void {
    this.#timers.delete(timer.id);
    this.#timers.set(timer.id, timer);
  }

  /** False if there is none of that id. */
  cancel(id: string): boolean {
    return this.#timers.delete(id);
  }

  has(timer: Timer): boolean {
    return this.#timers.get(timer.id) === timer;
  }

  /** The next one of those that `mayFire`. */
  next(mayFire: (timer: Timer) => boolean = () => true): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers.values())
      if ((!next || timer.at < next.at) && mayFire(timer)) next = timer;
    return next;
  }

  all(): Timer[] {
    return [...this.#timers.values()];
  }
}
