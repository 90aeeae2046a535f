import type { Delivery, LetterDetails } from '../backend.js';
import type { Clock } from '../model/clock.js';
import type { Catalogue } from '../model/catalogue.js';
import type { DuplicateFilter } from '../model/duplicates.js';
import { DeadlineError, InvalidDataError, UnknownTopicError, toError } from '../model/errors.js';
import type { Message } from '../model/message.js';
import type { SeenEpochs } from '../model/seen-epochs.js';
import { answer } from './answer.js';
import type { Fence } from './fence.js';
import { Parcel } from './message-view.js';
import type { Retries } from './retries.js';
import { DurableTask, taskKey, type TaskKey } from './task.js';
import { Turnstile } from './turnstile.js';
import type { Turns } from './turns.js';

export interface IntakeSettings {
  readonly attemptsMax: number;
  readonly orderBy: ((message: Message) => string | undefined) | undefined;
  readonly handlerTimeoutMs: number;
}

export interface IntakePorts {
  readonly clock: Clock;
  readonly turns: Turns;
  readonly catalogue: Catalogue | undefined;
  readonly duplicates: DuplicateFilter;
  readonly epochs: SeenEpochs;
  readonly fence: Fence;
  readonly retries: Retries;
}

/** What becomes of what arrives; the rest is acked and forgotten. */
export interface IntakeReports {
  /** The task of that message that is in hand. */
  inHand(key: TaskKey): DurableTask | undefined;
  admitted(task: DurableTask): void;
  /** No handler gets it. */
  refused(delivery: Delivery, letter: LetterDetails): void;
  /** A former owner's message. */
  former(delivery: Delivery): void;
}

/**
 * What a hold takes in. Copies are settled with the message that is in hand, duplicates and what a former owner has published
 * are acked unread; what nobody can read, or has had its attempts, is refused. All else is admitted, in the order in which it came.
 */
export class Intake {
  readonly #settings: IntakeSettings;
  readonly #ports: IntakePorts;
  readonly #reports: IntakeReports;
  readonly #arrivals = new Turnstile();
  /** A schema that has not yet answered. */
  #reading: AbortController | undefined;
  #hasEnded = false;

  constructor(settings: IntakeSettings, ports: IntakePorts, reports: IntakeReports) {
    this.#settings = settings;
    this.#ports = ports;
    this.#reports = reports;
  }

  /** A schema may answer later: what arrives meanwhile keeps its place. */
  arrive(delivery: Delivery): void {
    if (this.#hasEnded) return;
    if (this.#arrivals.isTaken) this.#arrivals.pass(() => this.#take(delivery));
    else {
      const reading = this.#take(delivery);
      if (reading) this.#arrivals.pass(() => reading);
    }
  }

  /** Asks `orderBy` for the lane of a task. */
  findLane(task: DurableTask): void {
    const { orderBy } = this.#settings;
    if (!orderBy) return;
    try {
      task.lane = orderBy(task.message);
      task.laneError = undefined;
    } catch (thrown) {
      task.laneError = toError(thrown);
    }
  }

  /** What is unsettled is no duplicate when it comes again. */
  forget({ envelope }: Delivery): void {
    if (envelope.origin) this.#ports.duplicates.forget(envelope.origin);
  }

  /** Nothing is admitted any more. */
  end(reason: Error): void {
    this.#hasEnded = true;
    this.#arrivals.clear();
    this.#reading?.abort(reason);
  }

  #take(delivery: Delivery): Promise<void> | undefined {
    const { catalogue, epochs, fence } = this.#ports;
    const key = taskKey(delivery);
    const twin = this.#reports.inHand(key);
    if (twin) {
      (twin.copies ??= []).push(delivery);
      return undefined;
    }
    const { envelope } = delivery;
    if (envelope.fence && epochs.isFormer(envelope.fence)) {
      fence.say(() => delivery.ack());
      this.#reports.former(delivery);
      return undefined;
    }
    if (this.#isDuplicate(delivery)) {
      fence.say(() => delivery.ack());
      return undefined;
    }
    if (delivery.attempt > this.#settings.attemptsMax) {
      this.#exhausted(delivery);
      return undefined;
    }
    try {
      const message = new Parcel(envelope).message(catalogue);
      if (message instanceof Promise) return this.#admitLater(key, delivery, message);
      this.#admit(key, delivery, message);
    } catch (thrown) {
      this.#refuse(delivery, thrown);
    }
    return undefined;
  }

  #isDuplicate({ envelope, redrives }: Delivery): boolean {
    if (!envelope.origin || redrives > 0) return false;
    return this.#ports.duplicates.seen(envelope.origin, this.#ports.turns.wall);
  }

  #exhausted(delivery: Delivery): void {
    const attempts = delivery.attempt - 1;
    const history = this.#ports.retries.historyOf(delivery);
    const last = history.at(-1);
    const known = last ? ` Attempt ${last.attempt} failed: ${last.error}` : '';
    const error = `${attempts} handler calls have begun, and none of them ended well.${known}`;
    this.#reports.refused(delivery, { reason: 'attempts', error, attempts, history });
  }

  #admit(key: TaskKey, delivery: Delivery, message: Message): void {
    const task = new DurableTask(key, delivery, message);
    this.findLane(task);
    if (delivery.attempt > 1) this.#ports.retries.recall(task);
    this.#reports.admitted(task);
  }

  async #admitLater(key: TaskKey, delivery: Delivery, reading: Promise<Message>): Promise<void> {
    const { signal } = (this.#reading = new AbortController());
    const what = `The schema for "${delivery.envelope.topic}"`;
    const wait = { what, timeoutMs: this.#settings.handlerTimeoutMs, signal };
    try {
      const message = await answer(this.#ports.clock, wait, () => reading);
      if (this.#hasEnded) this.forget(delivery);
      else this.#admit(key, delivery, message);
    } catch (thrown) {
      if (this.#hasEnded) this.forget(delivery);
      else this.#refuse(delivery, thrown);
    }
  }

  /** No handler gets what cannot be read, or is not what the catalogue says. */
  #refuse(delivery: Delivery, thrown: unknown): void {
    const error = toError(thrown);
    const reason = isRefusedByCatalogue(error) ? 'invalid' : 'undecodable';
    const history = this.#ports.retries.historyOf(delivery);
    this.#reports.refused(delivery, {
      reason,
      error: error.message,
      attempts: delivery.attempt - 1,
      history,
    });
  }
}

function isRefusedByCatalogue(error: Error): boolean {
  return (
    error instanceof InvalidDataError || error instanceof UnknownTopicError || error instanceof DeadlineError
  );
}
