import type { Delivery, FailedAttempt } from '../backend.js';
import type { Bagged } from '../model/bag.js';
import type { Message } from '../model/message.js';
import { checkSettlement, type DeliveryContext, type Publish, type Settlement } from './handler.js';
import type { Dated } from './deadlines.js';
import type { LaneItem } from './lanes.js';

/** Two deliveries with one key are copies of one message; a foreign message has no copies. */
export type TaskKey = string | Delivery;

export function taskKey(delivery: Delivery): TaskKey {
  const { origin, id } = delivery.envelope;
  if (!origin) return delivery;
  // No id of its form has a slash behind its number.
  return delivery.redrives === 0 ? id : `${id}/${delivery.redrives}`;
}

/** One delivery in the hands of a pump, from its arrival until it is settled or given up. */
export class DurableTask implements LaneItem, Dated, Bagged {
  place = -1;
  dueAt = 0;
  deadlines: object | undefined = undefined;
  earlier: this | undefined = undefined;
  later: this | undefined = undefined;
  /** Handler calls known to have begun, with the one that runs. */
  attempt: number;
  redelivered: boolean;
  /** A call that has begun and has not ended. */
  call: Call | undefined;
  /** Copies of the same message that came while this one is in hand. */
  copies: Delivery[] | undefined;
  /** Undefined: of no lane. */
  lane: string | undefined = undefined;
  /** What `orderBy` threw the last time: then it has no lane. */
  laneError: Error | undefined = undefined;
  /** Its next attempt is not due before that, on the monotonic clock; 0: it is due. */
  notBefore = 0;
  /** The latest failed attempts that this master knows of. */
  history: FailedAttempt[] | undefined = undefined;
  /** The failure of the present attempt has been told though its call still runs. */
  isTold = false;
  /** It is settled; a call of it may still run. */
  isOut = false;
  /** It may be what has ended processes: calls of it began, and nobody here knows how they ended. */
  isSuspect = false;

  constructor(
    /** One task at a time is in hand for each. */
    readonly key: TaskKey,
    readonly delivery: Delivery,
    readonly message: Message,
  ) {
    this.attempt = delivery.attempt;
    this.redelivered = delivery.redelivered || delivery.envelope.resent;
  }

  /** Once its next attempt is due. */
  get runsAlone(): boolean {
    return this.isSuspect && this.notBefore === 0;
  }
}

/** What a call knows of the place where it runs. */
export interface CallPlace {
  readonly queue: string;
  readonly epoch: number | undefined;
  readonly master: string;
  readonly publish: Publish;
}

/** One call of a handler: what it gets as `delivery`, and its first word. */
export class Call implements DeliveryContext {
  readonly attempt: number;
  readonly redelivered: boolean;
  /** The first settlement, by the handler or by the policy; later ones do not count. */
  word: Settlement | undefined;
  timedOut = false;
  /** It did not end when it was told to. */
  isGivenUp = false;
  readonly #place: CallPlace;
  readonly #onWord: () => void;
  #abort: AbortController | undefined;
  #aborted: Error | undefined;
  #answered: (() => void) | undefined;

  constructor(task: DurableTask, place: CallPlace, onWord: () => void) {
    this.attempt = task.attempt;
    this.redelivered = task.redelivered;
    this.#place = place;
    this.#onWord = onWord;
  }

  get queue(): string {
    return this.#place.queue;
  }

  get epoch(): number | undefined {
    return this.#place.epoch;
  }

  get master(): string {
    return this.#place.master;
  }

  get publish(): Publish {
    return this.#place.publish;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#aborted) this.#abort.abort(this.#aborted);
    }
    return this.#abort.signal;
  }

  readonly settle = (settlement: Settlement): void => {
    checkSettlement(settlement);
    if (this.word) return;
    this.word = settlement;
    this.#answered?.();
    this.#onWord();
  };

  /** For a handler that answers by `settle` alone. */
  readonly settled = (): Promise<void> | undefined =>
    this.word ? undefined : new Promise((resolve) => (this.#answered = resolve));

  abort(reason: Error): void {
    this.#aborted ??= reason;
    this.#abort?.abort(reason);
    // An actor that was told to stop has nothing more to say.
    this.#answered?.();
  }
}
