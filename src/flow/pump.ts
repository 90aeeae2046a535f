import type { Consumer, Delivery, LetterDetails, Ownership, Session } from '../backend.js';
import type { Environment, Timer } from '../model/clock.js';
import { DuplicateFilter } from '../model/duplicates.js';
import { HandlerTimeoutError, StoppedError, toError } from '../model/errors.js';
import { decide, type RetryPolicy } from '../model/settlement.js';
import { Deadlines } from './deadlines.js';
import { Fence } from './fence.js';
import { callHandler, isThenable, type Handler, type Publish } from './handler.js';
import { Lanes } from './lanes.js';
import { Parcel } from './message-view.js';
import type { Message } from '../model/message.js';
import { Call, DurableTask, taskKey, type CallPlace, type TaskKey } from './task.js';
import type { Task, Turns } from './turns.js';

export interface PumpSettings {
  readonly queue: string;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly onFailure: 'block' | 'pass';
  readonly orderBy: ((message: Message) => string | undefined) | undefined;
  readonly retry: RetryPolicy;
  readonly handlerTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly producerMemoryMs: number;
}

export interface PumpPorts {
  readonly environment: Environment;
  readonly turns: Turns;
  readonly master: string;
  /** Publishes under the ownership's fence. */
  readonly publish: (ownership: Ownership | undefined) => Publish;
}

/** What a pump tells. */
export interface PumpReports {
  failed(delivery: Delivery, attempt: number, error: Error): void;
  buried(delivery: Delivery, letter: LetterDetails): void;
  /** A handler still runs `drainTimeoutMs` after its deadline. */
  stuck(delivery: Delivery): void;
  /** No more deliveries will come though the session lives. */
  lost(reason: Error): void;
}

/** What one `open` holds: it ends as a whole, and whatever comes later of it is ignored. */
interface Hold {
  readonly session: Session;
  readonly ownership: Ownership | undefined;
  readonly fence: Fence;
  readonly place: CallPlace;
  consumer: Promise<Consumer> | undefined;
}

/**
 * The data plane of one durable consumer: takes deliveries within its credit, calls the handler, settles. Nothing is
 * dispatched or settled unless the ownership is valid at that moment.
 */
export class Pump implements Task {
  readonly #lanes: Lanes<DurableTask>;
  readonly #inHand = new Map<TaskKey, DurableTask>();
  readonly #running = new Set<DurableTask>();
  readonly #timers = new Map<DurableTask, Timer>();
  readonly #deadlines: Deadlines<DurableTask>;
  #duplicates: DuplicateFilter;
  #hold: Hold | undefined;
  #lastHold: Hold | undefined;
  #dispatching = false;
  #scheduled = false;
  #idle: (() => void)[] = [];
  #closing: Promise<void> = Promise.resolve();

  constructor(
    readonly settings: PumpSettings,
    readonly handler: Handler,
    readonly ports: PumpPorts,
    readonly reports: PumpReports,
  ) {
    this.#lanes = new Lanes(settings.onFailure);
    this.#duplicates = this.#newFilter();
    const { clock } = ports.environment;
    this.#deadlines = new Deadlines({ clock, graceMs: 20, due: (task) => this.#overdue(task) });
  }

  /** Deliveries in hand: prefetched, running or waiting for another attempt. */
  get held(): number {
    return this.#inHand.size;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Begins to consume, after an earlier hold has ended. Resolves when the broker has accepted the consumer. */
  async open(session: Session, ownership: Ownership | undefined): Promise<void> {
    const { queue, prefetch } = this.settings;
    const { master } = this.ports;
    const last = this.#lastHold;
    const hold: Hold = {
      session,
      ownership,
      fence: new Fence(ownership, () => this.#wake()),
      place: { queue, epoch: ownership?.epoch, master, publish: this.ports.publish(ownership) },
      consumer: undefined,
    };
    // Under another session or epoch an ack may have been refused: only then can a message come again that is no copy.
    if (last?.session !== session || last.ownership !== ownership) this.#duplicates = this.#newFilter();
    this.#lastHold = this.#hold = hold;
    this.#dispatching = true;
    hold.consumer = session.consume(
      queue,
      { prefetch, ownership },
      {
        delivery: (delivery) => {
          if (this.#hold === hold) this.#arrive(delivery);
        },
        lost: (reason) => {
          if (this.#hold === hold) this.reports.lost(reason);
        },
      },
    );
    await hold.consumer;
  }

  /** Resolves when what an earlier `drain` or `abandon` gave back is back. */
  get closed(): Promise<void> {
    return this.#closing;
  }

  /** No handler call begins any more. */
  halt(): void {
    this.#dispatching = false;
  }

  /**
   * Lets running calls end, aborts those that still run at the deadline, gives back the rest, and resolves when the
   * broker has taken all settlements.
   */
  async drain(deadline: Promise<void>): Promise<void> {
    this.halt();
    const hold = this.#hold;
    await this.quiet(deadline);
    if (this.#hold === hold) {
      for (const task of this.#running) task.delivery.cutOff();
      this.#letGo(
        new StoppedError(`The consumer of queue "${this.settings.queue}" stopped before its handler ended.`),
      );
    }
    const consumer = await hold?.consumer?.catch(() => undefined);
    await consumer?.close().catch(() => {});
  }

  /** Everything in hand belongs to somebody else now: signals are aborted, late settlements are ignored. */
  abandon(reason: Error): void {
    const hold = this.#hold;
    this.halt();
    this.#letGo(reason);
    if (hold) void this.#close(hold);
  }

  /** Resolves when no handler call runs, of whichever hold, or at the deadline. */
  async quiet(deadline: Promise<void>): Promise<void> {
    if (this.#running.size === 0) return;
    await Promise.race([new Promise<void>((resolve) => this.#idle.push(resolve)), deadline]);
  }

  #close(hold: Hold): Promise<void> {
    const close = async () => {
      const consumer = await hold.consumer?.catch(() => undefined);
      await consumer?.close().catch(() => {});
    };
    return (this.#closing = close());
  }

  run(): boolean {
    const task = this.#nextTask();
    if (!task) {
      this.#scheduled = false;
      return false;
    }
    const noted = task.delivery.begin(task.attempt);
    if (noted) void this.#beginNoted(task, noted);
    else this.#call(task);
    return true;
  }

  #nextTask(): DurableTask | undefined {
    if (!this.#dispatching || !this.#hold || this.#running.size >= this.settings.concurrency)
      return undefined;
    return this.#hold.fence.passes() ? this.#lanes.next() : undefined;
  }

  #wake(): void {
    if (this.#scheduled || !this.#dispatching) return;
    this.#scheduled = true;
    this.ports.turns.schedule(this);
  }

  #arrive(delivery: Delivery): void {
    const key = taskKey(delivery);
    const twin = this.#inHand.get(key);
    if (twin) {
      (twin.copies ??= []).push(delivery);
      return;
    }
    if (this.#isDuplicate(delivery)) {
      this.#hold?.fence.say(() => delivery.ack());
      return;
    }
    try {
      const message = new Parcel(delivery.envelope).message();
      const task = new DurableTask(key, delivery, message, this.settings.orderBy?.(message));
      this.#inHand.set(key, task);
      this.#lanes.add(task);
      this.#wake();
    } catch (thrown) {
      const error = toError(thrown).message;
      this.#bury(delivery, { reason: 'undecodable', error, attempts: delivery.attempt - 1 });
    }
  }

  async #beginNoted(task: DurableTask, noted: Promise<void>): Promise<void> {
    this.#running.add(task);
    const isNoted = await noted.then(
      () => true,
      () => false,
    );
    // Not noted means that the session is going: the message comes again.
    if (isNoted && this.#isInHand(task) && this.#dispatching && this.#hold?.fence.passes()) this.#call(task);
    else this.#ended(task);
  }

  #call(task: DurableTask): void {
    const call = new Call(task, this.#hold!.place, () => this.#spoke(task, call));
    task.call = call;
    this.#running.add(task);
    try {
      const result = callHandler(this.handler, task.message, call, call.settled);
      if (!isThenable(result)) return this.#returned(task, call);
      this.#deadlines.add(task, this.settings.handlerTimeoutMs);
      result.then(
        () => this.#returned(task, call),
        (thrown: unknown) => this.#threw(task, call, thrown),
      );
    } catch (thrown) {
      this.#threw(task, call, thrown);
    }
  }

  #returned(task: DurableTask, call: Call): void {
    if (call.timedOut) return this.#threw(task, call, undefined);
    this.#ended(task);
    call.settle({ type: 'ack' });
    if (call.word?.type === 'retry') this.#retryAsked(task, call.word.delayMs);
  }

  #threw(task: DurableTask, call: Call, thrown: unknown): void {
    this.#ended(task);
    if (!this.#isInHand(task)) return;
    if (call.word?.type === 'retry') return this.#retryAsked(task, call.word.delayMs);
    const error = call.timedOut
      ? new HandlerTimeoutError(this.#timeoutText(), { cause: thrown })
      : toError(thrown);
    this.reports.failed(task.delivery, task.attempt, error);
    const decision = decide(
      { outcome: 'threw', error, attempt: task.attempt },
      this.settings.retry,
      this.ports.environment,
    );
    if (decision.type === 'reject') this.#reject(task, decision.reason, error);
    else if (decision.type === 'retry') this.#retryIn(task, decision.delayMs);
  }

  /** The handler's first word: an ack or a reject counts at once, a retry begins when the call has ended. */
  #spoke(task: DurableTask, { word }: Call): void {
    if (!this.#isInHand(task)) return;
    if (word?.type === 'ack') this.#finish(task, () => task.delivery.ack());
    else if (word?.type === 'reject') this.#reject(task, 'rejected', new Error(word.reason));
  }

  #retryAsked(task: DurableTask, delayMs: number | undefined): void {
    if (!this.#isInHand(task)) return;
    const { attemptsMax, minDelayMs } = this.settings.retry;
    if (task.attempt < attemptsMax) this.#retryIn(task, delayMs ?? minDelayMs);
    else
      this.#reject(task, 'attempts', new Error('The handler asked for one more attempt than attemptsMax.'));
  }

  #retryIn(task: DurableTask, delayMs: number): void {
    task.attempt++;
    task.redelivered = true;
    this.#lanes.wait(task);
    const due = () => {
      this.#timers.delete(task);
      this.#lanes.retry(task);
      this.#wake();
    };
    this.#timers.set(task, this.ports.environment.clock.setTimeout(due, delayMs));
    this.#wake();
  }

  #reject(task: DurableTask, reason: LetterDetails['reason'], error: Error): void {
    this.#finish(task, () => {});
    this.#bury(task.delivery, { reason, error: error.message, attempts: task.attempt });
  }

  #bury(delivery: Delivery, letter: LetterDetails): void {
    this.#hold?.fence.say(() => {
      delivery.reject(letter).then(
        () => this.reports.buried(delivery, letter),
        () => {
          // It stays unsettled, and comes again when the session or the ownership has changed.
        },
      );
    });
  }

  #finish(task: DurableTask, word: () => void): void {
    this.#inHand.delete(task.key);
    this.#hold?.fence.say(word);
    for (const copy of task.copies ?? []) this.#hold?.fence.say(() => copy.ack());
    this.#lanes.done(task);
    this.#wake();
  }

  #isInHand(task: DurableTask): boolean {
    return this.#inHand.get(task.key) === task;
  }

  #isDuplicate({ envelope, redrives }: Delivery): boolean {
    if (!envelope.origin || redrives > 0) return false;
    return this.#duplicates.seen(envelope.origin, this.ports.environment.clock.wall());
  }

  #newFilter(): DuplicateFilter {
    return new DuplicateFilter({ producerMemoryMs: this.settings.producerMemoryMs });
  }

  /** First its deadline, and `drainTimeoutMs` later the patience with it. */
  #overdue(task: DurableTask): void {
    if (!task.call) return;
    if (task.call.timedOut) return this.reports.stuck(task.delivery);
    task.call.timedOut = true;
    task.call.abort(new HandlerTimeoutError(this.#timeoutText()));
    this.#deadlines.add(task, this.settings.drainTimeoutMs);
  }

  #timeoutText(): string {
    const { queue, handlerTimeoutMs } = this.settings;
    return `The handler of queue "${queue}" ran for more than handlerTimeoutMs (${handlerTimeoutMs}).`;
  }

  #ended(task: DurableTask): void {
    this.#deadlines.delete(task);
    this.#running.delete(task);
    if (this.#running.size === 0) for (const idle of this.#idle.splice(0)) idle();
    this.#wake();
  }

  #letGo(reason: Error): void {
    this.#hold = undefined;
    for (const task of this.#running) task.call?.abort(reason);
    for (const { delivery } of this.#inHand.values())
      if (delivery.envelope.origin) this.#duplicates.forget(delivery.envelope.origin);
    this.#inHand.clear();
    this.#lanes.clear();
    for (const timer of this.#timers.values()) this.ports.environment.clock.clearTimeout(timer);
    this.#timers.clear();
    this.#deadlines.clear();
  }
}
