import { toError } from '../model/errors.js';
import type { ChartEvent } from '../model/statechart.js';
import type { Invocation, Schedule } from './schedule.js';

/** Runs the promises that a machine has invoked. */
export class Work {
  readonly #schedule: Schedule;
  readonly #answered: (invocation: Invocation, event: ChartEvent) => void;
  readonly #running = new Map<Invocation, AbortController>();

  constructor(schedule: Schedule, answered: (invocation: Invocation, event: ChartEvent) => void) {
    this.#schedule = schedule;
    this.#answered = answered;
  }

  /** The state is saved: starts what it invokes and does not run yet. */
  start(): void {
    for (const invocation of this.#schedule.invocations)
      if (!this.#running.has(invocation)) void this.#run(invocation);
  }

  /** The state has changed: what it has left is told to stop. */
  stopLeft(): void {
    for (const [invocation, controller] of this.#running)
      if (!this.#schedule.isRunning(invocation)) {
        this.#running.delete(invocation);
        controller.abort(new Error(`The state that invoked "${invocation.id}" was left.`));
      }
  }

  end(reason: Error): void {
    for (const controller of this.#running.values()) controller.abort(reason);
    this.#running.clear();
  }

  async #run(invocation: Invocation): Promise<void> {
    const { chart, snapshot } = this.#schedule;
    const { id, input } = invocation;
    const controller = new AbortController();
    this.#running.set(invocation, controller);
    let event: ChartEvent;
    try {
      const output = await chart.work(snapshot, id, input, controller.signal);
      event = { type: `xstate.done.actor.${id}`, output, actorId: id } as ChartEvent;
    } catch (thrown) {
      event = { type: `xstate.error.actor.${id}`, error: toError(thrown), actorId: id } as ChartEvent;
    }
    // Kept in the map until it is applied, so that it is not started again.
    if (this.#running.get(invocation) === controller) this.#answered(invocation, event);
  }
}
