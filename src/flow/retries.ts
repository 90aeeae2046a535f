import type { FailedAttempt } from '../backend.js';
import { delayMs } from '../model/backoff.js';
import type { Environment, Timer } from '../model/clock.js';
import type { RetryPolicy } from '../model/settlement.js';
import type { Lanes } from './lanes.js';
import type { Setbacks } from './setbacks.js';
import type { DurableTask } from './task.js';

/** Of one message: the latest. */
const HISTORY_MAX = 20;
const ERROR_MAX_LENGTH = 1_000;

export interface RetryPorts {
  readonly environment: Environment;
  readonly policy: RetryPolicy;
  readonly lanes: Lanes<DurableTask>;
  readonly setbacks: Setbacks;
  /** A delivery's attempt counts calls that have begun; else it may count what was only handed over. */
  readonly countsCalls: boolean;
  /** A retry is due. */
  readonly due: () => void;
}

/** Messages whose attempts have failed: what is known of that, and the wait for the next attempt. */
export class Retries {
  readonly #ports: RetryPorts;
  readonly #timers = new Map<DurableTask, Timer>();

  constructor(ports: RetryPorts) {
    this.#ports = ports;
  }

  note(task: DurableTask, attempt: number, { message }: Error): void {
    const { clock } = this.#ports.environment;
    const history = (task.history ??= []);
    history.push({ attempt, at: clock.wall(), error: message.slice(0, ERROR_MAX_LENGTH) });
    if (history.length > HISTORY_MAX) history.shift();
  }

  waitFor(task: DurableTask, waitMs: number): void {
    const { clock } = this.#ports.environment;
    task.attempt++;
    task.redelivered = true;
    task.notBefore = clock.now() + waitMs;
    this.#wait(task, waitMs);
  }

  /**
   * A task whose message has attempts behind it. If this master gave it back, it waits as long as it still had to; else
   * nobody knows when its last attempt ended, and it waits the whole delay of the policy. One attempt alone may have been
   * a call whose master crashed: that one does not wait, so that a take-over takes no time.
   */
  recall(task: DurableTask): void {
    const known = this.#ports.setbacks.take(task.delivery);
    task.isSuspect = this.#isSuspect(task.attempt, known?.begun ?? 0);
    if (known) task.history = [...known.history];
    if (known) task.notBefore = known.dueAt;
    else if (task.attempt > 2) task.notBefore = this.#dueAfter(task.attempt - 1);
  }

  /** True if the turn of a recalled task has come too early: it waits, and holds its lane. */
  holdsBack(task: DurableTask): boolean {
    const leftMs = task.notBefore - this.#ports.environment.clock.now();
    if (leftMs > 0) this.#wait(task, leftMs);
    else task.notBefore = 0;
    return leftMs > 0;
  }

  /** What is known of a task that is given back is kept, and nothing is due any more. */
  giveBack(task: DurableTask): void {
    this.#ports.environment.clock.clearTimeout(this.#timers.get(task));
    this.#timers.delete(task);
    const { call, delivery, history = [], notBefore } = task;
    if (!call && notBefore === 0 && history.length === 0) return;
    // A call that ran past its deadline was an attempt; one that is cut off may come again at once.
    const dueAt = call?.timedOut ? this.#dueAfter(task.attempt) : notBefore;
    const begun = call ? task.attempt : task.attempt - 1;
    this.#ports.setbacks.keep(delivery, { dueAt, begun, history });
  }

  /** What this master knows of a delivery that is no task. */
  historyOf(delivery: DurableTask['delivery']): readonly FailedAttempt[] {
    return this.#ports.setbacks.take(delivery)?.history ?? [];
  }

  /**
   * One call without an end is what any crash leaves behind, of each message in hand. Two are a coincidence that should not
   * come a third time, and before the last attempt there is no room for any.
   */
  #isSuspect(attempt: number, outlived: number): boolean {
    const { countsCalls, policy } = this.#ports;
    const withoutEnd = attempt - 1 - outlived;
    if (!countsCalls) return false;
    return withoutEnd >= 2 || (withoutEnd === 1 && attempt >= policy.attemptsMax);
  }

  #dueAfter(attempt: number): number {
    const { environment, policy } = this.#ports;
    return environment.clock.now() + delayMs({ ...policy, attempt }, environment.random);
  }

  #wait(task: DurableTask, waitMs: number): void {
    const { lanes, due, environment } = this.#ports;
    lanes.wait(task);
    const ring = () => {
      this.#timers.delete(task);
      task.notBefore = 0;
      lanes.retry(task);
      due();
    };
    this.#timers.set(task, environment.clock.setTimeout(ring, waitMs));
  }
}
