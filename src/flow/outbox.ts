import type { Session } from '../backend.js';
import type { Clock } from '../model/clock.js';
import { OutboxFullError, RetryExpiredError, StoppedError, TimeoutError } from '../model/errors.js';
import type { Receipt } from '../model/receipt.js';
import { Backlog, type BacklogOptions } from './backlog.js';
import { Channel } from './channel.js';
import { Deadlines } from './deadlines.js';
import { Lapsed } from './lapsed.js';
import { Outgoing, type OwnEnvelope, type Terms } from './outgoing.js';
import { Overflow } from './overflow.js';
import { Producer, type Draft } from './producer.js';
import type { Tally } from './tally.js';

export interface OutboxOptions {
  readonly clock: Clock;
  readonly tally: Tally;
  /** The producer's name in ids: one run of the master. */
  readonly incarnation: string;
  /** CloudEvents `source` of every message. */
  readonly source: string;
  /** Unconfirmed at a time. */
  readonly window: number;
  /** Waiting for a place in the window. */
  readonly waitingMax: number;
  /** Where messages go that pass their deadline. */
  readonly spooling: Omit<BacklogOptions, 'clock' | 'wake'> | undefined;
}

export interface LateMessage {
  readonly id: string;
  /** Sends it, within that time. Once: then RetryExpiredError. */
  readonly send: (timeoutMs: number) => Promise<Receipt>;
}

const nobody = (): void => {};

/** For so long a message of unknown outcome may be sent again under its number. */
const RETRY_MS = 600_000;

/** What is published and not yet confirmed, and the publishers who wait: each publish ends at its deadline. */
export class Outbox {
  readonly #producer: Producer;
  readonly #channel: Channel;
  readonly #waitingMax: number;
  /** Everything whose publisher waits: sent, to be sent again, lapsed, in the line, and on its way to the disk. */
  readonly #pending: Deadlines<Outgoing>;
  readonly #backlog: Backlog | undefined;
  readonly #overflow: Overflow | undefined;
  readonly #lapsed: Lapsed;
  readonly #tally: Tally;
  #stopped = false;
  #idle: { isIdle: () => boolean; resolve: () => void }[] = [];

  constructor(options: OutboxOptions) {
    const { clock, waitingMax, window, spooling, tally } = options;
    this.#tally = tally;
    this.#waitingMax = waitingMax;
    this.#producer = new Producer({ ...options, lingeringMax: waitingMax });
    this.#pending = new Deadlines({ clock, graceMs: 5, due: (message) => this.#timedOut(message) });
    const flow = () => this.#channel.flow();
    const backlog = spooling && new Backlog({ ...spooling, clock, wake: flow });
    this.#backlog = backlog;
    this.#channel = new Channel({
      window,
      backlog,
      again: (envelope) => this.#producer.again(envelope),
      confirmed: (message) => {
        tally.confirmed++;
        this.#settle(message);
        message.resolve({ id: message.id, outcome: 'confirmed' });
      },
      confirmedLate: (message) => this.#producer.confirmedLate(message),
      refused: (message, error) => {
        this.#settle(message);
        message.reject(error);
      },
      held: () => this.#overflow?.soon(),
      cameBack: () => this.#lookIdle(),
    });
    this.#lapsed = new Lapsed({
      valid: (message) => this.#channel.add(message),
      ended: (message, reason) => this.#giveUp(message, reason, false),
    });
    const { line } = this.#channel;
    this.#overflow =
      backlog &&
      new Overflow({
        ...{ backlog, waitingMax, line, flow },
        pending: this.#pending,
        isFlowing: () => this.#channel.isFlowing,
        expire: (message) => this.#expire(message),
        satisfied: () => this.#lookIdle(),
      });
  }

  /** Those whose publisher waits. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Of them, those that wait to be sent. */
  get waiting(): number {
    return this.#channel.line.size + this.#lapsed.size;
  }

  /**
   * Resolves once the broker has taken responsibility, or the spool. Without a spool, and under a fence, TimeoutError at
   * the deadline: it says what is known.
   */
  publish(draft: Draft, terms: Terms): Promise<Receipt> {
    if (terms.signal?.aborted && !this.#stopped) return Promise.reject(terms.signal.reason as Error);
    const refusal = this.#refusal(terms);
    if (refusal) return Promise.reject(refusal);
    return this.#enter(this.#producer.number(draft), terms, 0);
  }

  /** A message that has passed its deadline before it could be sent: for a while it may be sent, under a number of its own. */
  late(draft: Draft, terms: Terms): LateMessage {
    const message = new Outgoing(this.#producer.number(draft), terms, nobody, nobody);
    this.#producer.keepOpen(message, RETRY_MS);
    return { id: message.id, send: (timeoutMs) => this.#retry(message, timeoutMs) };
  }

  /** Publishes flow over this session from now on. What the one before left unconfirmed goes first. */
  open(session: Session): void {
    this.#channel.open(session, this.#pending.items());
  }

  /** The broker takes nothing for now, or there is none. */
  hold(): void {
    this.#channel.hold();
  }

  /**
   * Resolves when everything is confirmed, or at the deadline; then what is left goes into the spool, or is rejected. Nothing
   * more is taken; what the spool holds stays there.
   */
  async drain(deadline: Promise<void>): Promise<void> {
    this.#stopped = true;
    this.#backlog?.stop();
    const answered = this.#whenIdle(() => this.#pending.size === 0 && !this.#backlog?.isAnyAway);
    await Promise.race([answered, deadline]);
    this.hold();
    for (const message of this.#pending.items())
      if (!message.place) {
        if (this.#overflow && !message.terms.fence) this.#overflow.overdue(message);
        else this.#expire(message);
      }
    await this.#whenIdle(() => this.#pending.size === 0);
    this.#pending.clear();
    this.#producer.end();
    await this.#backlog?.close();
  }

  /** Why nothing more is taken. */
  #refusal(terms: Terms): Error | undefined {
    if (this.#stopped) return new StoppedError('The master has stopped: nothing was sent.');
    if (this.#overflow?.takes(terms)) return this.#backlog!.refusal;
    const { waiting } = this;
    if (waiting < this.#waitingMax) return undefined;
    return new OutboxFullError(
      `${waiting} messages wait to be sent, which is the limit; nothing was sent. ` +
        'Await the publishes before, or publish later.',
    );
  }

  #enter(envelope: OwnEnvelope, terms: Terms, sendings: number): Promise<Receipt> {
    let resolve!: (receipt: Receipt) => void;
    let reject!: (error: unknown) => void;
    // All that follows inside of this function would cost a closure for each message.
    const receipt = new Promise<Receipt>((onReceipt, onError) => {
      resolve = onReceipt;
      reject = onError;
    });
    this.#tally.published++;
    const message = new Outgoing(envelope, terms, resolve, reject);
    message.sendings = sendings;
    if (this.#overflow?.takes(terms)) {
      message.state = 'spooled';
      this.#overflow.keep(message);
      return receipt;
    }
    if (terms.signal) this.#listen(message, terms.signal);
    this.#pending.add(message, terms.timeoutMs);
    const { fence } = terms;
    if (fence && !fence.valid()) this.#lapsed.add(message, fence);
    else this.#channel.add(message);
    return receipt;
  }

  #timedOut(message: Outgoing): void {
    if (message.place) message.reject(this.#timeoutOf(message));
    else if (this.#overflow && !message.terms.fence) this.#overflow.overdue(message);
    else {
      this.#expire(message);
      // Only when all that are due now have ended: none of them shall take the place and be sent.
      queueMicrotask(() => this.#channel.flow());
    }
    this.#lookIdle();
  }

  /** Nobody has taken responsibility for it. */
  #expire(message: Outgoing): void {
    const what = message.sendings > 0 ? 'it may have been taken' : 'it was never sent';
    const error = this.#stopped
      ? new StoppedError(`The master stopped before message ${message.id} was confirmed; ${what}.`)
      : this.#timeoutOf(message);
    this.#giveUp(message, error, true);
  }

  #timeoutOf(message: Outgoing): TimeoutError {
    return new TimeoutError({
      id: message.id,
      topic: message.envelope.topic,
      timeoutMs: message.terms.timeoutMs,
      // One with a place in the spool is on its way to the disk.
      outcome: message.sendings > 0 || message.place ? 'unknown' : 'not-sent',
      retry: () => this.#retry(message),
    });
  }

  /** The caller waits no more. Its number stays open while a copy may still be sent or be under way. */
  #giveUp(message: Outgoing, error: unknown, retryable: boolean): void {
    this.#end(message);
    if (retryable || message.sendings > 0) this.#producer.keepOpen(message, RETRY_MS);
    else this.#producer.withdrawn(message);
    message.reject(error);
  }

  #retry(message: Outgoing, timeoutMs = message.terms.timeoutMs): Promise<Receipt> {
    const refusal = this.#refusal(message.terms);
    if (refusal) return Promise.reject(refusal);
    if (!message.place && !this.#producer.takeAgain(message))
      return Promise.reject(
        new RetryExpiredError(
          `Message ${message.id} can no longer be sent again under its id: ` +
            `it was confirmed late, retried before, or ${RETRY_MS / 60_000} minutes have passed. Publish it anew.`,
        ),
      );
    if (!message.place) message.state = 'retried';
    const terms = { ...message.terms, timeoutMs, signal: undefined };
    return this.#enter(message.envelope, terms, message.sendings);
  }

  /** The broker has decided about it. */
  #settle(message: Outgoing): void {
    this.#end(message);
    this.#producer.decided(message);
  }

  #end(message: Outgoing): void {
    if (message.state === 'lapsed') this.#lapsed.remove(message);
    this.#channel.remove(message);
    if (message.place) this.#backlog!.remove(message);
    this.#overflow?.forget(message);
    message.unlisten?.();
    this.#pending.delete(message);
    this.#lookIdle();
  }

  #whenIdle(isIdle: () => boolean): Promise<void> {
    if (isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push({ isIdle, resolve }));
  }

  #lookIdle(): void {
    if (this.#idle.length > 0) for (const { isIdle, resolve } of this.#idle) if (isIdle()) resolve();
  }

  #listen(message: Outgoing, signal: AbortSignal): void {
    const abort = () => {
      this.#giveUp(message, signal.reason, false);
      this.#channel.flow();
    };
    signal.addEventListener('abort', abort, { once: true });
    message.unlisten = () => signal.removeEventListener('abort', abort);
  }
}
