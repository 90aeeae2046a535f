import type { Consumer, Delivery, LetterDetails, Ownership, Session } from '../backend.js';
import type { Environment } from '../model/clock.js';
import { Bag } from '../model/bag.js';
import type { DuplicateFilter } from '../model/duplicates.js';
import type { Catalogue } from '../model/catalogue.js';
import {
  DeadlineError,
  HandlerTimeoutError,
  InvalidDataError,
  RejectError,
  RetryError,
  UnknownTopicError,
  toError,
} from '../model/errors.js';
import type { Message } from '../model/message.js';
import type { SeenEpochs } from '../model/seen-epochs.js';
import { decide, type RetryPolicy } from '../model/settlement.js';
import { TurnoverMap } from '../model/turnover-map.js';
import { answer } from './answer.js';
import { Burials } from './burials.js';
import { Deadlines } from './deadlines.js';
import { Fence } from './fence.js';
import { callHandler, isThenable, type Handler, type Publish } from './handler.js';
import { Lanes } from './lanes.js';
import { Parcel } from './message-view.js';
import type { Tally } from './tally.js';
import { Call, DurableTask, taskKey, type CallPlace, type TaskKey } from './task.js';
import { Retries } from './retries.js';
import type { Setbacks } from './setbacks.js';
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
  readonly setbacks: Setbacks;
}

/** What a pump tells. */
export interface PumpReports {
  failed(delivery: Delivery, attempt: number, error: Error): void;
  buried(delivery: Delivery, letter: LetterDetails): void;
  /** The broker does not take a dead letter for now, and is asked again. */
  refused(delivery: Delivery, error: Error): void;
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
  readonly #burials: Burials;
  readonly #retries: Retries;
  readonly #deadlines: Deadlines<DurableTask>;
  readonly #arrivals = new Turnstile();
  /** A schema that has not yet answered. */
  #reading: AbortController | undefined;
  #consumer: Promise<Consumer> | undefined;
  #closing: Promise<void> | undefined;
  #isDispatching = true;
  #hasEnded = false;
  #scheduled = false;
  /** Calls that run, and for which nobody waits any more. */
  #givenUp = 0;
  #idle: (() => void)[] = [];

  constructor(
    readonly session: Pick<Session, 'consume'>,
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
    this.#burials = new Burials(ports.environment, this.#fence, {
      buried: (delivery, letter) => reports.buried(delivery, letter),
      refused: (delivery, error) => reports.refused(delivery, error),
      lost: (reason) => reports.lost(reason),
      // It comes again: then it is no duplicate.
      forgotten: (delivery) => this.#forget(delivery),
    });
    this.#lanes = new Lanes(settings.onFailure);
    this.#retries = new Retries({
      environment: ports.environment,
      policy: settings.retry,
      lanes: this.#lanes,
      setbacks: memory.setbacks,
      due: () => this.#wake(),
    });
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

  /** Resolves when no handler call runs that has not been given up, or at the deadline. */
  async quiet(deadline: Promise<void>): Promise<void> {
    if (this.#isQuiet) return;
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
    for (const task of this.#inHand.values()) {
      this.#retries.giveBack(task);
      this.#forget(task.delivery);
    }
    this.#burials.end();
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
    if (task.notBefore > 0 && this.#retries.holdsBack(task)) return true;
    if (task.laneError && this.#hasMoved(task)) return true;
    const noted = task.delivery.begin(task.attempt);
    if (noted) void this.#beginNoted(task, noted);
    else this.#call(task);
    return true;
  }

  /** What it had in hand is in disorder: its supervisor begins anew. */
  broke(error: unknown): void {
    this.#scheduled = false;
    if (!this.#hasEnded) this.reports.lost(toError(error));
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
      this.#exhausted(delivery, attempts);
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

  #exhausted(delivery: Delivery, attempts: number): void {
    const history = this.#retries.historyOf(delivery);
    const last = history.at(-1);
    const known = last ? ` Attempt ${last.attempt} failed: ${last.error}` : '';
    const error = `${attempts} handler calls have begun, and none of them ended well.${known}`;
    this.#bury(delivery, { reason: 'attempts', error, attempts, history });
  }

  #admit(key: TaskKey, delivery: Delivery, message: Message): void {
    const task = new DurableTask(key, delivery, message);
    if (this.settings.orderBy) this.#findLane(task, this.settings.orderBy);
    if (delivery.attempt > 1) this.#retries.recall(task);
    this.#inHand.set(key, task);
    this.#lanes.add(task);
    this.#wake();
  }

  #findLane(task: DurableTask, orderBy: (message: Message) => string | undefined): void {
    try {
      task.lane = orderBy(task.message);
      task.laneError = undefined;
    } catch (thrown) {
      task.laneError = toError(thrown);
    }
  }

  /** It had no lane since `orderBy` threw: each attempt asks again. True if it has one now, and waits there for its turn. */
  #hasMoved(task: DurableTask): boolean {
    this.#findLane(task, this.settings.orderBy!);
    if (task.lane === undefined) return false;
    this.#lanes.add(task);
    return true;
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
    const history = this.#retries.historyOf(delivery);
    this.#bury(delivery, { reason, error: error.message, attempts: delivery.attempt - 1, history });
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
    if (task.laneError) return this.#failed(task, task.laneError);
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
    if (call.word?.type === 'retry') this.#failed(task, askedBy(call.word));
  }

  #threw(task: DurableTask, call: Call, thrown: unknown): void {
    this.#ended(task);
    if (this.#hasEnded) return;
    const error = call.timedOut
      ? new HandlerTimeoutError(this.#timeoutText(), { cause: thrown })
      : toError(thrown);
    const { word } = call;
    if (word?.type === 'retry') this.#failed(task, askedBy(word, error));
    // The message stays acked; nobody else would hear of the error.
    else if (word?.type === 'ack') this.reports.failed(task.delivery, call.attempt, error);
    else if (!word) this.#failed(task, error);
  }

  /** The handler's first word: an ack or a reject counts at once, a retry begins when the call has ended. */
  #spoke(task: DurableTask, { word }: Call): void {
    if (!this.#isInHand(task)) return;
    if (word?.type === 'ack') this.#finish(task, () => task.delivery.ack());
    else if (word?.type === 'reject') this.#failed(task, new RejectError(word.reason));
  }

  #tell(task: DurableTask, error: Error): void {
    this.reports.failed(task.delivery, task.attempt, error);
    this.#retries.note(task, task.attempt, error);
  }

  /** One attempt has failed, in whatever way: it is told, and the policy decides. */
  #failed(task: DurableTask, error: Error): void {
    if (!this.#isInHand(task)) return;
    const { attempt } = task;
    if (!task.isTold) this.#tell(task, error);
    task.isTold = false;
    const decision = decide(
      { outcome: 'threw', error, attempt },
      this.settings.retry,
      this.ports.environment,
    );
    if (decision.type === 'reject') this.#reject(task, decision.reason, error);
    else if (decision.type === 'retry') {
      this.#retries.waitFor(task, decision.delayMs);
      this.#wake();
    }
  }

  #reject(task: DurableTask, reason: LetterDetails['reason'], error: Error): void {
    const { attempt, copies, delivery, history = [] } = task;
    this.#release(task);
    this.#bury(delivery, { reason, error: error.message, attempts: attempt, history }, copies);
  }

  #bury(delivery: Delivery, letter: LetterDetails, copies: readonly Delivery[] = []): void {
    this.#burials.bury(delivery, letter, copies);
  }

  #finish(task: DurableTask, word: () => void): void {
    this.#release(task);
    this.#fence.say(word);
    for (const copy of task.copies ?? []) this.#fence.say(() => copy.ack());
  }

  /** It is out of hand: the next of its lane may begin once no call of it runs. */
  #release(task: DurableTask): void {
    this.#inHand.delete(task.key);
    task.isOut = true;
    if (!task.call) this.#lanes.done(task);
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
    if (task.call.timedOut) return this.#giveUp(task, task.call);
    task.call.timedOut = true;
    task.call.abort(new HandlerTimeoutError(this.#timeoutText()));
    this.#deadlines.add(task, this.settings.drainTimeoutMs);
  }

  #giveUp(task: DurableTask, call: Call): void {
    call.isGivenUp = true;
    this.#givenUp += 1;
    this.#tellIfQuiet();
    // It may never end: then nobody else would tell.
    if (this.#isInHand(task)) {
      this.#tell(task, new HandlerTimeoutError(this.#timeoutText()));
      task.isTold = true;
    }
    this.reports.stuck(task.delivery);
  }

  get #isQuiet(): boolean {
    return this.#running.size === this.#givenUp;
  }

  #tellIfQuiet(): void {
    if (this.#isQuiet) for (const idle of this.#idle.splice(0)) idle();
  }

  #timeoutText(): string {
    const { queue, handlerTimeoutMs } = this.settings;
    return `The handler of queue "${queue}" ran for more than handlerTimeoutMs (${handlerTimeoutMs}).`;
  }

  #ended(task: DurableTask): void {
    this.#deadlines.delete(task);
    this.#running.delete(task);
    if (task.call?.isGivenUp) this.#givenUp -= 1;
    task.call = undefined;
    if (task.isOut) this.#lanes.done(task);
    if (this.#idle.length > 0) this.#tellIfQuiet();
    this.#wake();
  }
}

function askedBy({ delayMs }: { readonly delayMs?: number }, cause?: Error): RetryError {
  return new RetryError({
    ...(delayMs !== undefined && { delayMs }),
    ...(cause && { cause, reason: cause.message }),
  });
}

function isRefusedByCatalogue(error: Error): boolean {
  return (
    error instanceof InvalidDataError || error instanceof UnknownTopicError || error instanceof DeadlineError
  );
}
