import type { Session } from '../backend.js';
import type { Clock } from '../model/clock.js';
import {
  OutboxFullError,
  RetryExpiredError,
  SessionLostError,
  StoppedError,
  TimeoutError,
  isRetryable,
  toError,
} from '../model/errors.js';
import type { Envelope } from '../model/message.js';
import { OpenNumbersTracker } from '../model/open-numbers.js';
import { Answers } from './answers.js';
import { Backlog, type BacklogOptions } from './backlog.js';
import { Deadlines } from './deadlines.js';
import { Line } from './line.js';
import { Lingering } from './lingering.js';
import { Outgoing, type OwnEnvelope, type Receipt, type Terms } from './outgoing.js';
import { Overflow } from './overflow.js';

/** A checked message that has no number yet. */
export type Draft = Pick<Envelope, 'topic' | 'headers' | 'payload'>;

export interface OutboxOptions {
  readonly clock: Clock;
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

/** For so long a message of unknown outcome may be sent again under its number. */
const RETRY_MS = 600_000;

/**
 * What is published and not yet confirmed: a window at the broker, a bounded line behind it. What a lost session left
 * unconfirmed is sent again over the next, first and in order, flagged. Every publish ends at its deadline.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #numbers = new OpenNumbersTracker();
  /** Everything whose publisher waits: sent, to be sent again, and in the line. */
  readonly #pending: Deadlines<Outgoing>;
  readonly #line = new Line();
  readonly #lingering: Lingering;
  readonly #answers: Answers;
  readonly #backlog: Backlog | undefined;
  readonly #overflow: Overflow | undefined;
  #sentCount = 0;
  #session: Session | undefined;
  #flowing = false;
  #stopped = false;
  #idle: { isIdle: () => boolean; resolve: () => void }[] = [];

  constructor(options: OutboxOptions) {
    const { clock, waitingMax, spooling } = options;
    this.#options = options;
    this.#pending = new Deadlines({ clock, graceMs: 5, due: (message) => this.#timedOut(message) });
    this.#lingering = new Lingering({ clock, numbers: this.#numbers, max: waitingMax });
    this.#answers = new Answers({
      confirmed: (messages, over) => {
        for (const message of messages) this.#confirmed(message, over);
        this.#flow();
      },
      refused: (messages, over, error) => {
        for (const message of messages) this.#refused(message, over, error);
        // What a lost session had waits for the next one.
        if (!(error instanceof SessionLostError)) this.#flow();
      },
    });
    if (!spooling) return;
    const backlog = (this.#backlog = new Backlog({ ...spooling, clock, wake: () => this.#flow() }));
    this.#overflow = new Overflow({
      backlog,
      waitingMax,
      line: this.#line,
      pending: this.#pending,
      expire: (message) => this.#expire(message),
      satisfied: () => this.#lookIdle(),
      isFlowing: () => this.#flowing,
      flow: () => this.#flow(),
    });
  }

  get waiting(): number {
    return this.#line.size;
  }

  /**
   * Resolves once the broker has taken responsibility, or the spool. Without a spool, and under a fence, TimeoutError at
   * the deadline: it says what is known.
   */
  publish(draft: Draft, terms: Terms): Promise<Receipt> {
    if (this.#stopped) return Promise.reject(new StoppedError('The master has stopped: nothing was sent.'));
    if (terms.signal?.aborted) return Promise.reject(terms.signal.reason as Error);
    const refusal = this.#refusal(terms);
    if (refusal) return Promise.reject(refusal);
    return this.#enter(this.#number(draft), terms, 0);
  }

  /** Publishes flow over this session from now on. What the one before left unconfirmed goes first. */
  open(session: Session): void {
    this.#session = session;
    this.#flowing = true;
    for (const message of [...this.#pending.items(), ...(this.#backlog?.away ?? [])])
      if (message.state === 'sent' && message.over !== session) this.#takeBack(message);
    this.#flow();
  }

  /** The broker takes nothing for now, or there is none. */
  hold(): void {
    this.#flowing = false;
    if (this.#line.size > 0) this.#overflow?.soon();
  }

  /**
   * Resolves when everything is confirmed, or at the deadline; then what is left goes into the spool, or is rejected. Nothing
   * more is taken; what the spool holds stays there.
   */
  async drain(deadline: Promise<void>): Promise<void> {
    this.#stopped = true;
    this.#backlog?.stop();
    await Promise.race([
      this.#whenIdle(() => this.#pending.size === 0 && !this.#backlog?.isAnyAway),
      deadline,
    ]);
    this.hold();
    for (const message of this.#pending.items())
      if (!message.place) {
        if (this.#overflow && !message.terms.fence) this.#overflow.overdue(message);
        else this.#expire(message);
      }
    await this.#whenIdle(() => this.#pending.size === 0);
    this.#pending.clear();
    this.#lingering.clear();
    await this.#backlog?.close();
  }

  #number({ topic, headers, payload }: Draft): OwnEnvelope {
    const { clock, incarnation, source } = this.#options;
    const sequence = this.#numbers.next();
    return {
      id: `${incarnation}-${sequence}`,
      topic,
      time: clock.wall(),
      source,
      headers,
      payload,
      origin: { producer: incarnation, sequence, open: this.#numbers.ranges() },
      resent: false,
      fence: undefined,
    };
  }

  #enter(envelope: OwnEnvelope, terms: Terms, sendings: number): Promise<Receipt> {
    let resolve!: (receipt: Receipt) => void;
    let reject!: (error: unknown) => void;
    // All that follows inside of this function would cost a closure for each message.
    const receipt = new Promise<Receipt>((onReceipt, onError) => {
      resolve = onReceipt;
      reject = onError;
    });
    const message = new Outgoing(envelope, terms, resolve, reject);
    message.sendings = sendings;
    if (this.#overflow?.takes(terms)) {
      message.state = 'spooled';
      this.#overflow.keep(message);
      return receipt;
    }
    if (terms.signal) this.#listen(message, terms.signal);
    this.#pending.add(message, terms.timeoutMs);
    if (this.#mayFlow() && this.waiting === 0) this.#send(message, this.#session!);
    else this.#line.add(message);
    return receipt;
  }

  #mayFlow(): boolean {
    return this.#flowing && this.#sentCount < this.#options.window;
  }

  #flow(): void {
    while (this.#mayFlow()) {
      const message = this.#next();
      if (!message) return;
      this.#send(message, this.#session!);
    }
  }

  /** What is under a fence waits for nothing in the spool: a handler must not wait for a queue that it empties. */
  #next(): Outgoing | undefined {
    const backlog = this.#backlog;
    if (!backlog?.holdsAny) return this.#line.take();
    const { first } = this.#line;
    if (first && (first.terms.fence || !backlog.isPassedBy(first))) return this.#line.take();
    return backlog.next && backlog.take();
  }

  #send(message: Outgoing, session: Session): void {
    const envelope = message.sendings === 0 ? message.envelope : this.#flagged(message.envelope);
    message.state = 'sent';
    message.over = session;
    message.sendings++;
    this.#sentCount++;
    this.#answers.await(session.publish(envelope, message.terms.fence), message, session);
  }

  #flagged(envelope: OwnEnvelope): OwnEnvelope {
    if (!this.#isOwn(envelope)) return { ...envelope, resent: true };
    return { ...envelope, origin: { ...envelope.origin, open: this.#numbers.ranges() }, resent: true };
  }

  #confirmed(message: Outgoing, over: Session): void {
    if (message.over !== over) return;
    // A confirm after the deadline still says that no copy is under way.
    if (message.state === 'ended') this.#lingering.close(message);
    if (message.state !== 'sent') return;
    this.#settle(message);
    message.resolve({ id: message.id, outcome: 'confirmed' });
  }

  #refused(message: Outgoing, over: Session, error: unknown): void {
    if (message.state !== 'sent' || message.over !== over) return;
    if (error instanceof SessionLostError) return this.#takeBack(message);
    if (message.place) return this.#spooledRefused(message, error);
    this.#settle(message);
    message.reject(error);
  }

  /** Nobody waits for it: what the broker may take later stays in the spool, and holds what comes after it. */
  #spooledRefused(message: Outgoing, error: unknown): void {
    const backlog = this.#backlog!;
    this.#sentCount--;
    message.state = 'spooled';
    if (isRetryable(error)) {
      backlog.giveBack(message);
      backlog.pause();
      return this.#lookIdle();
    }
    const reason = toError(error);
    void backlog.setAside(message, reason).then((isAside) => {
      if (!isAside) return;
      this.#settle(message);
      message.reject(error);
      this.#flow();
    });
  }

  /** Its session is lost: it goes again, ahead of what was never sent. */
  #takeBack(message: Outgoing): void {
    this.#sentCount--;
    if (message.place) {
      message.state = 'spooled';
      this.#backlog!.giveBack(message);
      this.#lookIdle();
    } else {
      message.state = 'waiting';
      this.#line.putBack(message);
    }
    if (this.#line.size > 0) this.#overflow?.soon();
  }

  #settle(message: Outgoing): void {
    this.#end(message);
    if (!this.#isOwn(message.envelope)) return;
    const lingerMs = message.sendings > 1 ? message.over!.capabilities.lingerMs : 0;
    // A copy may still be under way on a connection that only this side has given up.
    if (lingerMs > 0) this.#lingering.keep(message, lingerMs);
    else this.#numbers.close(message.sequence);
  }

  #timedOut(message: Outgoing): void {
    if (message.place) message.reject(this.#timeoutOf(message));
    else if (this.#overflow && !message.terms.fence) this.#overflow.overdue(message);
    else this.#expire(message);
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
      // In the spool it is on its way to the disk.
      outcome: message.sendings > 0 || message.place ? 'unknown' : 'not-sent',
      retry: () => this.#retry(message),
    });
  }

  /** The caller waits no more. Its number stays open while a copy may still be sent or be under way. */
  #giveUp(message: Outgoing, error: unknown, retryable: boolean): void {
    this.#end(message);
    if (retryable || message.sendings > 0) this.#lingering.keep(message, RETRY_MS);
    else this.#numbers.close(message.sequence);
    message.reject(error);
    this.#flow();
  }

  #retry(message: Outgoing): Promise<Receipt> {
    if (this.#stopped) return Promise.reject(new StoppedError('The master has stopped: nothing was sent.'));
    const refusal = this.#refusal(message.terms);
    if (refusal) return Promise.reject(refusal);
    if (!message.place && !this.#lingering.take(message))
      return Promise.reject(
        new RetryExpiredError(
          `Message ${message.id} can no longer be sent again under its id: ` +
            `it was confirmed late, retried before, or ${RETRY_MS / 60_000} minutes have passed. Publish it anew.`,
        ),
      );
    if (!message.place) message.state = 'retried';
    return this.#enter(message.envelope, { ...message.terms, signal: undefined }, message.sendings);
  }

  #end(message: Outgoing): void {
    if (message.state === 'sent') this.#sentCount--;
    else if (message.state === 'waiting') this.#line.delete(message);
    message.state = 'ended';
    if (message.place) this.#backlog!.remove(message);
    this.#overflow?.forget(message);
    message.unlisten?.();
    this.#pending.delete(message);
    this.#lookIdle();
  }

  #isOwn({ origin }: OwnEnvelope): boolean {
    return origin.producer === this.#options.incarnation;
  }

  /** Why nothing more is taken. */
  #refusal(terms: Terms): Error | undefined {
    const { waiting } = this;
    if (this.#overflow?.takes(terms)) return this.#backlog!.refusal;
    if (waiting < this.#options.waitingMax) return undefined;
    return new OutboxFullError(
      `${waiting} messages wait to be sent, which is the limit; nothing was sent. ` +
        'Await the publishes before, or publish later.',
    );
  }

  #whenIdle(isIdle: () => boolean): Promise<void> {
    if (isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push({ isIdle, resolve }));
  }

  #lookIdle(): void {
    if (this.#idle.length > 0) for (const { isIdle, resolve } of this.#idle) if (isIdle()) resolve();
  }

  #listen(message: Outgoing, signal: AbortSignal): void {
    const abort = () => this.#giveUp(message, signal.reason, false);
    signal.addEventListener('abort', abort, { once: true });
    message.unlisten = () => signal.removeEventListener('abort', abort);
  }
}
