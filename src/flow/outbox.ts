import type { Session } from '../backend.js';
import type { Clock } from '../model/clock.js';
import {
  OutboxFullError,
  RetryExpiredError,
  SessionLostError,
  StoppedError,
  TimeoutError,
} from '../model/errors.js';
import type { Envelope } from '../model/message.js';
import { OpenNumbersTracker } from '../model/open-numbers.js';
import { Answers } from './answers.js';
import { Deadlines } from './deadlines.js';
import { Line } from './line.js';
import { Lingering } from './lingering.js';
import { Outgoing, type OwnEnvelope, type Receipt, type Terms } from './outgoing.js';

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
  #sentCount = 0;
  #session: Session | undefined;
  #flowing = false;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: OutboxOptions) {
    const { clock, waitingMax } = options;
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
  }

  get waiting(): number {
    return this.#line.size;
  }

  /** Resolves once the broker has taken responsibility. TimeoutError at the deadline: it says what is known. */
  publish(draft: Draft, terms: Terms): Promise<Receipt> {
    if (this.#stopped) return Promise.reject(new StoppedError('The master has stopped: nothing was sent.'));
    if (terms.signal?.aborted) return Promise.reject(terms.signal.reason as Error);
    if (this.waiting >= this.#options.waitingMax)
      return Promise.reject(
        new OutboxFullError(
          `${this.waiting} messages wait to be sent, which is the limit; nothing was sent. ` +
            'Await the publishes before, or publish later.',
        ),
      );
    return this.#enter(this.#number(draft), terms, 0);
  }

  /** Publishes flow over this session from now on. What the one before left unconfirmed goes first. */
  open(session: Session): void {
    this.#session = session;
    this.#flowing = true;
    for (const message of this.#pending.items())
      if (message.state === 'sent' && message.over !== session) this.#takeBack(message);
    this.#flow();
  }

  /** The broker takes nothing for now, or there is none. */
  hold(): void {
    this.#flowing = false;
  }

  /** Resolves when everything is confirmed, or at the deadline; then what is left is rejected and nothing is taken. */
  async drain(deadline: Promise<void>): Promise<void> {
    this.#stopped = true;
    if (this.#pending.size > 0)
      await Promise.race([new Promise<void>((resolve) => this.#idle.push(resolve)), deadline]);
    for (const message of this.#pending.items()) {
      const what = message.sendings > 0 ? 'it may have been taken' : 'it was never sent';
      this.#end(message);
      message.reject(
        new StoppedError(`The master stopped before message ${message.id} was confirmed; ${what}.`),
      );
    }
    this.#pending.clear();
    this.#lingering.clear();
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
      const message = this.#line.take();
      if (!message) return;
      this.#send(message, this.#session!);
    }
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
    this.#settle(message);
    message.reject(error);
  }

  /** Its session is lost: it goes again, ahead of what was never sent. */
  #takeBack(message: Outgoing): void {
    this.#sentCount--;
    message.state = 'waiting';
    this.#line.putBack(message);
  }

  #settle(message: Outgoing): void {
    this.#end(message);
    const lingerMs = message.sendings > 1 ? message.over!.capabilities.lingerMs : 0;
    // A copy may still be under way on a connection that only this side has given up.
    if (lingerMs > 0) this.#lingering.keep(message, lingerMs);
    else this.#numbers.close(message.sequence);
  }

  #timedOut(message: Outgoing): void {
    this.#giveUp(
      message,
      new TimeoutError({
        id: message.id,
        topic: message.envelope.topic,
        timeoutMs: message.terms.timeoutMs,
        outcome: message.sendings > 0 ? 'unknown' : 'not-sent',
        retry: () => this.#retry(message),
      }),
      true,
    );
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
    if (!this.#lingering.take(message))
      return Promise.reject(
        new RetryExpiredError(
          `Message ${message.id} can no longer be sent again under its id: ` +
            `it was confirmed late, retried before, or ${RETRY_MS / 60_000} minutes have passed. Publish it anew.`,
        ),
      );
    message.state = 'retried';
    return this.#enter(message.envelope, { ...message.terms, signal: undefined }, message.sendings);
  }

  #end(message: Outgoing): void {
    if (message.state === 'sent') this.#sentCount--;
    else this.#line.delete(message);
    message.state = 'ended';
    message.unlisten?.();
    this.#pending.delete(message);
    if (this.#pending.size === 0) for (const idle of this.#idle.splice(0)) idle();
  }

  #listen(message: Outgoing, signal: AbortSignal): void {
    const abort = () => this.#giveUp(message, signal.reason, false);
    signal.addEventListener('abort', abort, { once: true });
    message.unlisten = () => signal.removeEventListener('abort', abort);
  }
}
