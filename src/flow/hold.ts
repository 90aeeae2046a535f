import type { Consumer, Delivery, LetterDetails, Ownership, Session } from '../backend.js';
import type { Environment, Timer } from '../model/clock.js';
import { Bag } from '../model/bag.js';
import type { DuplicateFilter } from '../model/duplicates.js';
import type { Catalogue } from '../model/catalogue.js';
import {
  DeadlineError,
  HandlerTimeoutError,
  InvalidDataError,
  RetryError,
  UnknownTopicError,
  toError,
} from '../model/errors.js';
import type { Message } from '../model/message.js';
import type { SeenEpochs } from '../model/seen-epochs.js';
import { decide, type RetryPolicy } from '../model/settlement.js';
import { TurnoverMap } from '../model/turnover-map.js';
import { answer } from './answer.js';
import { Deadlines } from './deadlines.js';
import { Fence } from './fence.js';
import { callHandler, isThenable, type Handler, type Publish } from './handler.js';
import { Lanes } from './lanes.js';
import { Parcel } from './message-view.js';
import type { Tally } from './tally.js';
import { Call, DurableTask, taskKey, type CallPlace, type TaskKey } from './task.js';
import { Turnstile } from './turnstile.js';
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
  readonly tally: Tally;
  readonly master: string;
  /** Publishes under the ownership's fence. */
  readonly publish: (ownership: Ownership | undefined) => Publish;
  /** Checks what the handler gets. */
  readonly catalogue: Catalogue | undefined;
}

/** What is remembered of messages that came before. */
export interface HoldMemory {
  readonly duplicates: DuplicateFilter;
  readonly epochs: SeenEpochs;
}

/** What a pump tells. */
export interface PumpReports {
  failed(delivery: Delivery, attempt: number, error: Error): void;
  buried(delivery: Delivery, letter: LetterDetails): void;
  /** A handler still runs `drainTimeoutMs` after its deadline. */
  stuck(delivery: Delivery): void;
  /** A former owner's message was acked unread: the broker did not refuse it. */
  former(delivery: Delivery): void;
  /** No more deliveries will come though the session lives. */
  lost(reason: Error): void;
}

/**
 * What a consumer holds between an `open` and its end: deliveries in hand, calls that run, retries that wait. It ends as a
 * whole, and whatever comes later of it is ignored. Nothing is dispatched or settled unless the ownership is valid at that
 * moment.
 */
export class Hold implements Task {
  readonly #fence: Fence;
  readonly #place: CallPlace;
  readonly #lanes: Lanes<DurableTask>;
  readonly #inHand = new TurnoverMap<TaskKey, DurableTask>();
  readonly #running = new Bag<DurableTask>();
  /** Their calls are being noted, and have not begun. */
  readonly #noting = new Set<DurableTask>();
  /** Rejections that the broker has not taken yet. */
  readonly #burying = new Set<Delivery>();
  readonly #timers = new Map<DurableTask, Timer>();
  readonly #deadlines: Deadlines<DurableTask>;
  readonly #arrivals = new Turnstile();
  /** A schema that has not yet answered. */
  #reading: AbortController | undefined;
  #consumer: Promise<Consumer> | undefined;
  #closing: Promise<void> | undefined;
  #isDispatching = true;
  #hasEnded = false;
  #scheduled = false;
  #idle: (() => void)[] = [];

  constructor(
    readonly session: Session,
    readonly ownership: Ownership | undefined,
    readonly memory: HoldMemory,
    readonly settings: PumpSettings,
    readonly handler: Handler,
    readonly ports: PumpPorts,
    readonly reports: PumpReports,
  ) {
    const { clock } = ports.environment;
    this.#place = {
      queue: settings.queue,
      epoch: ownership?.epoch,
      master: ports.master,
      publish: ports.publish(ownership),
    };
    this.#fence = new Fence(ownership, () => this.#wake());
    this.#lanes = new Lanes(settings.onFailure);
    this.#deadlines = new Deadlines({ clock, graceMs: 20, due: (task) => this.#overdue(task) });
  }

  /** Resolves when the broker has accepted the consumer. */
  async begin(): Promise<void> {
    const { ownership } = this;
    const { queue, prefetch } = this.settings;
    this.#consumer = this.session.consume(
      queue,
      { prefetch, ownership },
      {
        delivery: (delivery) => {
          if (!this.#hasEnded) this.#arrive(delivery);
        },
        lost: (reason) => {
          if (!this.#hasEnded) this.reports.lost(reason);
        },
      },
    );
    await this.#consumer;
  }

  /** No handler call begins any more. */
  halt(): void {
    this.#isDispatching = false;
  }

  /** Resolves when no handler call runs, or at the deadline. */
  async quiet(deadline: Promise<void>): Promise<void> {
    if (this.#running.size === 0) return;
    await Promise.race([new Promise<void>((resolve) => this.#idle.push(resolve)), deadline]);
  }

  /** Calls that still run are told and left behind: what they say later is ignored. */
  end(reason: Error): void {
    if (this.#hasEnded) return;
    // A call that ran past its own deadline was an attempt; one that a stop cuts off was none.
    for (const task of this.#running)
      if (this.#isInHand(task) && !task.call?.timedOut) task.delivery.cutOff();
    for (const task of this.#noting) task.delivery.cutOff();
    this.#noting.clear();
    this.#hasEnded = true;
    this.#isDispatching = false;
    for (const task of this.#running) task.call?.abort(reason);
    this.#arrivals.clear();
    this.#reading?.abort(reason);
    for (const { delivery } of this.#inHand.values()) this.#forget(delivery);
    for (const delivery of this.#burying) this.#forget(delivery);
    for (const timer of this.#timers.values()) this.ports.environment.clock.clearTimeout(timer);
    this.#deadlines.clear();
  }

  /** Gives back what is in hand, and resolves when the broker has taken all settlements. */
  close(): Promise<void> {
    const close = async () => {
      const consumer = await this.#consumer?.catch(() => undefined);
      await consumer?.close().catch(() => {});
    };
    return (this.#closing ??= close());
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
    const calls = this.#running.size + this.#noting.size;
    if (!this.#isDispatching || calls >= this.settings.concurrency) return undefined;
    return this.#fence.passes() ? this.#lanes.next() : undefined;
  }

  #wake(): void {
    if (this.#scheduled || !this.#isDispatching) return;
    this.#scheduled = true;
    this.ports.turns.schedule(this);
  }

  /** A schema may answer later: what arrives meanwhile keeps its place. */
  #arrive(delivery: Delivery): void {
    if (this.#arrivals.isTaken) this.#arrivals.pass(() => this.#take(delivery));
    else {
      const reading = this.#take(delivery);
      if (reading) this.#arrivals.pass(() => reading);
    }
  }

  #take(delivery: Delivery): Promise<void> | undefined {
    const key = taskKey(delivery);
    const twin = this.#inHand.get(key);
    if (twin) {
      (twin.copies ??= []).push(delivery);
      return undefined;
    }
    const { fence } = delivery.envelope;
    if (fence && this.memory.epochs.isFormer(fence)) {
      this.#fence.say(() => delivery.ack());
      this.reports.former(delivery);
      return undefined;
    }
    if (this.#isDuplicate(delivery)) {
      this.#fence.say(() => delivery.ack());
      return undefined;
    }
    const attempts = delivery.attempt - 1;
    if (attempts >= this.settings.retry.attemptsMax) {
      const error = `${attempts} handler calls have begun, and none of them ended well.`;
      this.#bury(delivery, { reason: 'attempts', error, attempts });
      return undefined;
    }
    try {
      const message = new Parcel(delivery.envelope).message(this.ports.catalogue);
      if (message instanceof Promise) return this.#admitLater(key, delivery, message);
      this.#admit(key, delivery, message);
    } catch (thrown) {
      this.#refuse(delivery, thrown);
    }
    return undefined;
  }

  #admit(key: TaskKey, delivery: Delivery, message: Message): void {
    const task = new DurableTask(key, delivery, message, this.settings.orderBy?.(message));
    this.#inHand.set(key, task);
    this.#lanes.add(task);
    this.#wake();
  }

  async #admitLater(key: TaskKey, delivery: Delivery, reading: Promise<Message>): Promise<void> {
    const { signal } = (this.#reading = new AbortController());
    const what = `The schema for "${delivery.envelope.topic}"`;
    const wait = { what, timeoutMs: this.settings.handlerTimeoutMs, signal };
    try {
      const message = await answer(this.ports.environment.clock, wait, () => reading);
      if (this.#hasEnded) this.#forget(delivery);
      else this.#admit(key, delivery, message);
    } catch (thrown) {
      if (this.#hasEnded) this.#forget(delivery);
      else this.#refuse(delivery, thrown);
    }
  }

  /** No handler gets what cannot be read, or is not what the catalogue says. */
  #refuse(delivery: Delivery, thrown: unknown): void {
    const error = toError(thrown);
    const reason = isRefusedByCatalogue(error) ? 'invalid' : 'undecodable';
    this.#bury(delivery, { reason, error: error.message, attempts: delivery.attempt - 1 });
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
    this.#fence.say(() => this.#callNoted(task));
  }

  #callNoted(task: DurableTask): void {
    if (!this.#noting.delete(task)) return;
    if (this.#isDispatching) this.#call(task);
    else task.delivery.cutOff();
  }

  #call(task: DurableTask): void {
    const call = new Call(task, this.#place, () => this.#spoke(task, call));
    task.call = call;
    this.ports.tally.durableCalls++;
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
    this.#decide(task, error);
  }

  /** The handler's first word: an ack or a reject counts at once, a retry begins when the call has ended. */
  #spoke(task: DurableTask, { word }: Call): void {
    if (!this.#isInHand(task)) return;
    if (word?.type === 'ack') this.#finish(task, () => task.delivery.ack());
    else if (word?.type === 'reject') this.#reject(task, 'rejected', new Error(word.reason));
  }

  #retryAsked(task: DurableTask, delayMs: number | undefined): void {
    if (!this.#isInHand(task)) return;
    this.#decide(task, new RetryError({ ...(delayMs !== undefined && { delayMs }) }));
  }

  #decide(task: DurableTask, error: Error): void {
    const { attempt } = task;
    const decision = decide(
      { outcome: 'threw', error, attempt },
      this.settings.retry,
      this.ports.environment,
    );
    if (decision.type === 'reject') this.#reject(task, decision.reason, error);
    else if (decision.type === 'retry') this.#retryIn(task, decision.delayMs);
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
    const { attempt, copies, delivery } = task;
    this.#release(task);
    this.#bury(delivery, { reason, error: error.message, attempts: attempt }, copies);
  }

  #bury(delivery: Delivery, letter: LetterDetails, copies: readonly Delivery[] = []): void {
    this.#burying.add(delivery);
    this.#fence.say(() => {
      const rejected = delivery.reject(letter).finally(() => this.#burying.delete(delivery));
      rejected.then(
        () => {
          for (const copy of copies) copy.ack();
          this.reports.buried(delivery, letter);
        },
        // It stays unsettled and comes again: then it is no duplicate.
        () => this.#forget(delivery),
      );
    });
  }

  #finish(task: DurableTask, word: () => void): void {
    this.#release(task);
    this.#fence.say(word);
    for (const copy of task.copies ?? []) this.#fence.say(() => copy.ack());
  }

  /** It is out of hand: the next of its lane may begin. */
  #release(task: DurableTask): void {
    this.#inHand.delete(task.key);
    this.#lanes.done(task);
    this.#wake();
  }

  #forget({ envelope }: Delivery): void {
    if (envelope.origin) this.memory.duplicates.forget(envelope.origin);
  }

  #isInHand(task: DurableTask): boolean {
    return !this.#hasEnded && this.#inHand.get(task.key) === task;
  }

  #isDuplicate({ envelope, redrives }: Delivery): boolean {
    if (!envelope.origin || redrives > 0) return false;
    return this.memory.duplicates.seen(envelope.origin, this.ports.turns.wall);
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
}

function isRefusedByCatalogue(error: Error): boolean {
  return (
    error instanceof InvalidDataError || error instanceof UnknownTopicError || error instanceof DeadlineError
  );
}
