import type { Consumer, LetterDetails, Ownership, Session } from '../backend.js';
import { RejectError, RetryError, toError } from '../model/errors.js';
import { decide } from '../model/settlement.js';
import { TurnoverMap } from '../model/turnover-map.js';
import { Burials } from './burials.js';
import { Calls } from './calls.js';
import { Credit } from './credit.js';
import { Fence } from './fence.js';
import type { Handler } from './handler.js';
import { Intake } from './intake.js';
import { Lanes } from './lanes.js';
import type { HoldMemory, PumpPorts, PumpReports, PumpSettings } from './pump-ports.js';
import { Retries } from './retries.js';
import type { Call, DurableTask, TaskKey } from './task.js';
import type { Task } from './turns.js';

/**
 * What a consumer holds between an `open` and its end: the tasks in hand, their turn, and how each is settled. It ends as a
 * whole, and whatever comes later of it is ignored. Nothing is dispatched or settled unless the ownership is valid at that
 * moment.
 */
export class Hold implements Task {
  readonly #fence: Fence;
  readonly #intake: Intake;
  readonly #inHand = new TurnoverMap<TaskKey, DurableTask>();
  readonly #lanes: Lanes<DurableTask>;
  readonly #credit: Credit;
  readonly #calls: Calls;
  readonly #retries: Retries;
  readonly #burials: Burials;
  #consumer: Promise<Consumer> | undefined;
  #closing: Promise<void> | undefined;
  #hasEnded = false;
  #scheduled = false;

  constructor(
    readonly session: Pick<Session, 'consume' | 'capabilities'>,
    readonly ownership: Ownership | undefined,
    readonly memory: HoldMemory,
    readonly settings: PumpSettings,
    readonly handler: Handler,
    readonly ports: PumpPorts,
    readonly reports: PumpReports,
  ) {
    const { queue, retry } = settings;
    const { environment, turns, catalogue, tally, master } = ports;
    const { clock } = environment;
    const fence = (this.#fence = new Fence(ownership, () => this.#wake()));
    this.#burials = new Burials(environment, fence, {
      buried: (delivery, letter) => reports.buried(delivery, letter),
      refused: (delivery, error) => reports.refused(delivery, error),
      lost: (reason) => reports.lost(reason),
      // It comes again: then it is no duplicate.
      forgotten: (delivery) => this.#intake.forget(delivery),
    });
    this.#lanes = new Lanes(settings.onFailure);
    this.#credit = new Credit(
      settings.prefetch,
      (inHandMax) =>
        void this.#consumer?.then(
          (consumer) => consumer.allow?.(inHandMax),
          () => {},
        ),
    );
    const retries = (this.#retries = new Retries({
      environment,
      policy: retry,
      lanes: this.#lanes,
      setbacks: memory.setbacks,
      countsCalls: ownership !== undefined || session.capabilities.exactHandBack,
      due: () => this.#wake(),
    }));
    this.#intake = new Intake(
      { ...settings, attemptsMax: retry.attemptsMax },
      { ...memory, clock, turns, catalogue, fence, retries },
      {
        inHand: (key) => this.#inHand.get(key),
        admitted: (task) => this.#admitted(task),
        refused: (delivery, letter) => this.#burials.bury(delivery, letter, []),
        former: (delivery) => reports.former(delivery),
      },
    );
    const place = { queue, epoch: ownership?.epoch, master, publish: ports.publish(ownership) };
    this.#calls = new Calls(
      settings,
      { clock, fence, tally, handler, place },
      {
        spoke: (task, call) => this.#spoke(task, call),
        ended: (task) => this.#ended(task),
        returned: (task, { word }) => this.#failed(task, askedBy(word)),
        threw: (task, call, error) => this.#threw(task, call, error),
        failed: (task, error) => this.#failed(task, error),
        stuck: (task, error) => this.#stuck(task, error),
      },
    );
  }

  /** Resolves when the broker has accepted the consumer. */
  async begin(): Promise<void> {
    const { ownership } = this;
    const { queue, prefetch } = this.settings;
    this.#consumer = this.session.consume(
      queue,
      { prefetch, ownership },
      {
        delivery: (delivery) => this.#intake.arrive(delivery),
        lost: (reason) => {
          if (!this.#hasEnded) this.reports.lost(reason);
        },
      },
    );
    await this.#consumer;
  }

  /** No handler call begins any more. */
  halt(): void {
    this.#calls.halt();
  }

  /** Resolves when no handler call runs that has not been given up, or at the deadline. */
  quiet(deadline: Promise<void>): Promise<void> {
    return this.#calls.quiet(deadline);
  }

  /** Calls that still run are told and left behind: what they say later is ignored. */
  end(reason: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#calls.end(reason);
    this.#intake.end(reason);
    for (const task of this.#inHand.values()) {
      this.#retries.giveBack(task);
      this.#intake.forget(task.delivery);
    }
    this.#burials.end();
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
    this.#calls.begin(task);
    return true;
  }

  /** What it had in hand is in disorder: its supervisor begins anew. */
  broke(error: unknown): void {
    this.#scheduled = false;
    if (!this.#hasEnded) this.reports.lost(toError(error));
  }

  #nextTask(): DurableTask | undefined {
    const calls = this.#calls;
    if (!calls.hasRoom || !this.#fence.passes()) return undefined;
    const task = this.#lanes.next(calls.size);
    if (!task && this.#lanes.areHeldUp) this.#credit.heldUp(this.#inHand.size);
    return task;
  }

  #wake(): void {
    if (this.#scheduled || this.#calls.isHalted) return;
    this.#scheduled = true;
    this.ports.turns.schedule(this);
  }

  #admitted(task: DurableTask): void {
    this.#inHand.set(task.key, task);
    this.#lanes.add(task);
    this.#wake();
  }

  /** It had no lane since `orderBy` threw: each attempt asks again. True if it has one now, and waits there for its turn. */
  #hasMoved(task: DurableTask): boolean {
    this.#intake.findLane(task);
    if (task.lane === undefined) return false;
    this.#lanes.add(task);
    return true;
  }

  /** A call has ended: the next of its lane may begin if it is settled. */
  #ended(task: DurableTask): void {
    if (task.isOut) this.#lanes.done(task);
    this.#wake();
  }

  #threw(task: DurableTask, { word, attempt }: Call, error: Error): void {
    if (word?.type === 'retry') this.#failed(task, askedBy(word, error));
    // The message stays acked; nobody else would hear of the error.
    else if (word?.type === 'ack') this.reports.failed(task.delivery, attempt, error);
    else if (!word) this.#failed(task, error);
  }

  /** The handler's first word: an ack or a reject counts at once, a retry begins when the call has ended. */
  #spoke(task: DurableTask, { word }: Call): void {
    if (word?.type === 'ack') this.#finish(task, () => task.delivery.ack());
    else if (word?.type === 'reject') this.#failed(task, new RejectError(word.reason));
  }

  /** It may never end: then nobody else would tell. */
  #stuck(task: DurableTask, error: Error): void {
    if (!task.isOut) {
      this.#tell(task, error);
      task.isTold = true;
    }
    this.reports.stuck(task.delivery);
  }

  #tell(task: DurableTask, error: Error): void {
    this.reports.failed(task.delivery, task.attempt, error);
    this.#retries.note(task, task.attempt, error);
  }

  /** One attempt has failed, in whatever way: it is told, and the policy decides. */
  #failed(task: DurableTask, error: Error): void {
    if (task.isOut) return;
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
    const { attempt, copies = [], delivery, history = [] } = task;
    this.#release(task);
    this.#burials.bury(delivery, { reason, error: error.message, attempts: attempt, history }, copies);
  }

  #finish(task: DurableTask, word: () => void): void {
    this.#release(task);
    this.#fence.say(word);
    for (const copy of task.copies ?? []) this.#fence.say(() => copy.ack());
  }

  /** It is out of hand: the next of its lane may begin once no call of it runs. */
  #release(task: DurableTask): void {
    this.#inHand.delete(task.key);
    this.#credit.settled(this.#inHand.size);
    task.isOut = true;
    if (!task.call) this.#lanes.done(task);
    this.#wake();
  }
}

function askedBy(word: Call['word'], cause?: Error): RetryError {
  const delayMs = word?.type === 'retry' ? word.delayMs : undefined;
  return new RetryError({
    ...(delayMs !== undefined && { delayMs }),
    ...(cause && { cause, reason: cause.message }),
  });
}
