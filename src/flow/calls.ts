import type { Clock } from '../model/clock.js';
import { Bag } from '../model/bag.js';
import { HandlerTimeoutError, toError } from '../model/errors.js';
import { Deadlines } from './deadlines.js';
import type { Fence } from './fence.js';
import { callHandler, isThenable, type Handler } from './handler.js';
import type { Tally } from './tally.js';
import { Call, type CallPlace, type DurableTask } from './task.js';

export interface CallSettings {
  readonly concurrency: number;
  readonly handlerTimeoutMs: number;
  readonly drainTimeoutMs: number;
}

export interface CallPorts {
  readonly clock: Clock;
  readonly fence: Fence;
  readonly tally: Tally;
  readonly handler: Handler;
  readonly place: CallPlace;
}

/** What becomes of calls. */
export interface CallReports {
  /** The first word of a call, while its task is unsettled: perhaps the handler's, perhaps that it has returned. */
  spoke(task: DurableTask, call: Call): void;
  /** It has ended, and something may begin in its place. Told before what came of it. */
  ended(task: DurableTask): void;
  /** It asked for a retry, and has returned. */
  returned(task: DurableTask, call: Call): void;
  threw(task: DurableTask, call: Call, error: Error): void;
  /** It could not be called. */
  failed(task: DurableTask, error: Error): void;
  /** It still runs `drainTimeoutMs` after its deadline, and nobody waits for it any more. */
  stuck(task: DurableTask, error: Error): void;
}

/**
 * The handler calls of one hold: those that run, and those that are being noted. A call that is past its deadline is told, and
 * keeps its place until it ends.
 */
export class Calls {
  readonly #settings: CallSettings;
  readonly #ports: CallPorts;
  readonly #reports: CallReports;
  readonly #running = new Bag<DurableTask>();
  /** Their calls are being noted, and have not begun. */
  readonly #noting = new Set<DurableTask>();
  readonly #deadlines: Deadlines<DurableTask>;
  /** While it runs, or is being noted, nothing else begins: if the process dies, it was this one. */
  #alone: DurableTask | undefined;
  /** Calls that run, and for which nobody waits any more. */
  #givenUp = 0;
  #isHalted = false;
  #hasEnded = false;
  #idle: (() => void)[] = [];

  constructor(settings: CallSettings, ports: CallPorts, reports: CallReports) {
    this.#settings = settings;
    this.#ports = ports;
    this.#reports = reports;
    this.#deadlines = new Deadlines({
      clock: ports.clock,
      graceMs: 20,
      due: (task) => this.#overdue(task),
    });
  }

  get size(): number {
    return this.#running.size + this.#noting.size;
  }

  get isHalted(): boolean {
    return this.#isHalted;
  }

  /** Whether another may begin. */
  get hasRoom(): boolean {
    return !this.#isHalted && !this.#alone && this.size < this.#settings.concurrency;
  }

  begin(task: DurableTask): void {
    if (task.isSuspect) this.#alone = task;
    const noted = task.delivery.begin(task.attempt);
    if (noted) void this.#beginNoted(task, noted);
    else this.#call(task);
  }

  /** None begins any more. */
  halt(): void {
    this.#isHalted = true;
  }

  /** Resolves when none runs that has not been given up, or at the deadline. */
  async quiet(deadline: Promise<void>): Promise<void> {
    if (this.#isQuiet) return;
    await Promise.race([new Promise<void>((resolve) => this.#idle.push(resolve)), deadline]);
  }

  /** Those that still run are told and left behind: what they say later is ignored. */
  end(reason: Error): void {
    // A call that ran past its own deadline was an attempt; one that a stop cuts off was none.
    for (const task of this.#running) if (!task.isOut && !task.call?.timedOut) task.delivery.cutOff();
    for (const task of this.#noting) task.delivery.cutOff();
    this.#noting.clear();
    this.#isHalted = true;
    this.#hasEnded = true;
    for (const task of this.#running) task.call?.abort(reason);
    this.#deadlines.clear();
  }

  async #beginNoted(task: DurableTask, noted: Promise<void>): Promise<void> {
    this.#noting.add(task);
    try {
      await noted;
    } catch {
      // The session is going: the message comes again.
      this.#noting.delete(task);
      return;
    }
    // If the ownership has lapsed meanwhile, the call begins when it is valid again.
    this.#ports.fence.say(() => this.#callNoted(task));
  }

  #callNoted(task: DurableTask): void {
    if (!this.#noting.delete(task)) return;
    if (this.#isHalted) task.delivery.cutOff();
    else this.#call(task);
  }

  #call(task: DurableTask): void {
    if (task.laneError) {
      this.#acquit(task);
      return this.#reports.failed(task, task.laneError);
    }
    const { handler, place, tally } = this.#ports;
    const call = new Call(task, place, () => this.#spoke(task, call));
    task.call = call;
    tally.durableCalls++;
    this.#running.add(task);
    try {
      const result = callHandler(handler, task.message, call, call.settled);
      if (!isThenable(result)) return this.#returned(task, call);
      this.#deadlines.add(task, this.#settings.handlerTimeoutMs);
      result.then(
        () => this.#returned(task, call),
        (thrown: unknown) => this.#threw(task, call, thrown),
      );
    } catch (thrown) {
      this.#threw(task, call, thrown);
    }
  }

  #spoke(task: DurableTask, call: Call): void {
    if (!this.#hasEnded && !task.isOut) this.#reports.spoke(task, call);
  }

  #returned(task: DurableTask, call: Call): void {
    if (call.timedOut) return this.#threw(task, call, undefined);
    this.#ended(task);
    call.settle({ type: 'ack' });
    if (!this.#hasEnded && call.word?.type === 'retry') this.#reports.returned(task, call);
  }

  #threw(task: DurableTask, call: Call, thrown: unknown): void {
    this.#ended(task);
    if (this.#hasEnded) return;
    const error = call.timedOut ? this.#timeoutError(thrown) : toError(thrown);
    this.#reports.threw(task, call, error);
  }

  #ended(task: DurableTask): void {
    this.#deadlines.delete(task);
    this.#running.delete(task);
    if (task.call?.isGivenUp) this.#givenUp -= 1;
    task.call = undefined;
    if (task.isSuspect) this.#acquit(task);
    if (this.#idle.length > 0) this.#tellIfQuiet();
    this.#reports.ended(task);
  }

  /** The process has outlived its call. */
  #acquit(task: DurableTask): void {
    task.isSuspect = false;
    if (this.#alone === task) this.#alone = undefined;
  }

  /** First its deadline, and `drainTimeoutMs` later the patience with it. */
  #overdue(task: DurableTask): void {
    if (!task.call) return;
    if (task.call.timedOut) return this.#giveUp(task, task.call);
    task.call.timedOut = true;
    task.call.abort(this.#timeoutError());
    this.#deadlines.add(task, this.#settings.drainTimeoutMs);
  }

  #giveUp(task: DurableTask, call: Call): void {
    call.isGivenUp = true;
    this.#givenUp += 1;
    this.#tellIfQuiet();
    this.#reports.stuck(task, this.#timeoutError());
  }

  get #isQuiet(): boolean {
    return this.#running.size === this.#givenUp;
  }

  #tellIfQuiet(): void {
    if (this.#isQuiet) for (const idle of this.#idle.splice(0)) idle();
  }

  #timeoutError(cause?: unknown): HandlerTimeoutError {
    const text = `The handler of queue "${this.#ports.place.queue}" ran for more than handlerTimeoutMs (${this.#settings.handlerTimeoutMs}).`;
    return new HandlerTimeoutError(text, cause === undefined ? undefined : { cause });
  }
}
