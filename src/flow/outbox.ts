import type { Ownership, Session } from '../backend.js';
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
import { brokerError } from '../model/secrets.js';
import { Deadlines, type Dated } from './deadlines.js';

/** What a publish resolves with. */
export interface Receipt {
  readonly id: string;
  /** `confirmed`: every durable queue that matches has it. `spooled`: it is on this machine's disk, and will be sent. */
  readonly outcome: 'confirmed' | 'spooled';
}

/** A checked message that has no number yet. */
export type Draft = Omit<Envelope, 'id' | 'origin' | 'resent' | 'fence'>;

export interface OutboxOptions {
  readonly clock: Clock;
  /** The producer's name in ids: one run of the master. */
  readonly incarnation: string;
  /** Unconfirmed at a time. */
  readonly window: number;
  /** Waiting for a place in the window. */
  readonly waitingMax: number;
}

export interface SendOptions {
  readonly timeoutMs: number;
  readonly fence: Ownership | undefined;
  readonly signal: AbortSignal | undefined;
}

const nothing = () => {};

/** One message between `publish` and its end. */
class Entry implements Dated {
  dueAt = 0;
  readonly id: string;
  state: 'waiting' | 'sent' | 'ended' | 'retried' = 'waiting';
  /** The session it was last handed to: what another one says of it does not count any more. */
  over: Session | undefined = undefined;
  /** How many sessions it was handed to; more than none means that it may have been taken. */
  sendings = 0;
  unlisten: () => void = nothing;

  constructor(
    producer: string,
    readonly sequence: number,
    readonly draft: Draft,
    readonly timeoutMs: number,
    readonly fence: Ownership | undefined,
    readonly resolve: (receipt: Receipt) => void,
    readonly reject: (error: unknown) => void,
  ) {
    this.id = `${producer}-${sequence}`;
  }
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
  readonly #pending: Deadlines<Entry>;
  readonly #unknown: Deadlines<Entry>;
  /** Sent before and to be sent again, ahead of the line. */
  #again: Entry[] = [];
  readonly #line = new Set<Entry>();
  #sentCount = 0;
  #session: Session | undefined;
  #flowing = false;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#pending = new Deadlines({
      clock: options.clock,
      graceMs: 5,
      due: (entry) => this.#timedOut(entry),
    });
    this.#unknown = new Deadlines({
      clock: options.clock,
      graceMs: 1_000,
      due: (entry) => this.#close(entry),
    });
  }

  get waiting(): number {
    return this.#again.length + this.#line.size;
  }

  /** Resolves once the broker has taken responsibility. TimeoutError at the deadline: it says what is known. */
  publish(draft: Draft, options: SendOptions): Promise<Receipt> {
    if (this.#stopped) return Promise.reject(new StoppedError('The master has stopped: nothing was sent.'));
    if (options.signal?.aborted) return Promise.reject(options.signal.reason as Error);
    if (this.waiting >= this.#options.waitingMax)
      return Promise.reject(
        new OutboxFullError(
          `${this.waiting} messages wait to be sent, which is the limit; nothing was sent. ` +
            'Await the publishes before, or publish later.',
        ),
      );
    return this.#enter(this.#numbers.next(), draft, options, 0);
  }

  /** Publishes flow over this session from now on. What the one before left unconfirmed goes first. */
  open(session: Session): void {
    this.#session = session;
    this.#flowing = true;
    for (const entry of this.#pending)
      if (entry.state === 'sent' && entry.over !== session) this.#takeBack(entry);
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
    for (const entry of [...this.#pending]) {
      const what = entry.sendings > 0 ? 'it may have been taken' : 'it was never sent';
      this.#end(entry);
      entry.reject(new StoppedError(`The master stopped before message ${entry.id} was confirmed; ${what}.`));
    }
    this.#pending.clear();
    this.#unknown.clear();
  }

  #enter(sequence: number, draft: Draft, options: SendOptions, sendings: number): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      const entry = new Entry(
        this.#options.incarnation,
        sequence,
        draft,
        options.timeoutMs,
        options.fence,
        resolve,
        reject,
      );
      entry.sendings = sendings;
      if (options.signal) this.#listen(entry, options.signal);
      this.#pending.add(entry, options.timeoutMs);
      if (this.#mayFlow() && this.waiting === 0) this.#send(entry, this.#session!);
      else this.#line.add(entry);
    });
  }

  #mayFlow(): boolean {
    return this.#flowing && this.#sentCount < this.#options.window;
  }

  #flow(): void {
    if (this.waiting === 0) return;
    this.#again.sort((one, other) => one.sequence - other.sequence);
    while (this.#mayFlow()) {
      const entry = this.#again.shift() ?? this.#line.values().next().value;
      if (!entry) return;
      this.#line.delete(entry);
      this.#send(entry, this.#session!);
    }
  }

  #send(entry: Entry, session: Session): void {
    const { draft, id, sequence } = entry;
    const envelope: Envelope = {
      id,
      topic: draft.topic,
      time: draft.time,
      source: draft.source,
      headers: draft.headers,
      payload: draft.payload,
      origin: { producer: this.#options.incarnation, sequence, open: this.#numbers.ranges() },
      resent: entry.sendings > 0,
      fence: undefined,
    };
    entry.state = 'sent';
    entry.over = session;
    entry.sendings++;
    this.#sentCount++;
    session.publish(envelope, entry.fence).then(
      () => this.#confirmed(entry, session),
      (error: unknown) => this.#refused(entry, error, session),
    );
  }

  #confirmed(entry: Entry, session: Session): void {
    // A confirm after the deadline still says that no copy is under way.
    if (entry.state === 'ended' && entry.over === session) return this.#close(entry);
    if (entry.state !== 'sent' || entry.over !== session) return;
    this.#settle(entry);
    entry.resolve({ id: entry.id, outcome: 'confirmed' });
    this.#flow();
  }

  #refused(entry: Entry, error: unknown, session: Session): void {
    if (entry.state !== 'sent' || entry.over !== session) return;
    if (error instanceof SessionLostError) return this.#takeBack(entry);
    this.#settle(entry);
    entry.reject(brokerError(error));
    this.#flow();
  }

  /** Its session is lost: it goes again, ahead of what was never sent. */
  #takeBack(entry: Entry): void {
    this.#sentCount--;
    entry.state = 'waiting';
    this.#again.push(entry);
  }

  #settle(entry: Entry): void {
    this.#end(entry);
    const lingerMs = entry.sendings > 1 ? entry.over!.capabilities.lingerMs : 0;
    // A copy may still be under way on a connection that only this side has given up.
    if (lingerMs > 0) this.#keepOpen(entry, lingerMs);
    else this.#numbers.close(entry.sequence);
  }

  #timedOut(entry: Entry): void {
    this.#giveUp(
      entry,
      new TimeoutError({
        id: entry.id,
        topic: entry.draft.topic,
        timeoutMs: entry.timeoutMs,
        outcome: entry.sendings > 0 ? 'unknown' : 'not-sent',
        retry: () => this.#retry(entry),
      }),
      true,
    );
  }

  /** The caller waits no more. Its number stays open while a copy may still be sent or be under way. */
  #giveUp(entry: Entry, error: unknown, retryable: boolean): void {
    this.#end(entry);
    if (retryable || entry.sendings > 0) this.#keepOpen(entry, RETRY_MS);
    else this.#numbers.close(entry.sequence);
    entry.reject(error);
    this.#flow();
  }

  /** What is kept for a retry has a limit as everything else: the oldest can be retried no more. */
  #keepOpen(entry: Entry, delayMs: number): void {
    this.#unknown.add(entry, delayMs);
    if (this.#unknown.size <= this.#options.waitingMax) return;
    const [oldest] = this.#unknown;
    if (oldest) this.#close(oldest);
  }

  #retry(entry: Entry): Promise<Receipt> {
    if (this.#stopped) return Promise.reject(new StoppedError('The master has stopped: nothing was sent.'));
    if (!this.#unknown.has(entry))
      return Promise.reject(
        new RetryExpiredError(
          `Message ${entry.id} can no longer be sent again under its id: ` +
            `it was confirmed late, retried before, or ${RETRY_MS / 60_000} minutes have passed. Publish it anew.`,
        ),
      );
    this.#unknown.delete(entry);
    entry.state = 'retried';
    return this.#enter(
      entry.sequence,
      entry.draft,
      { timeoutMs: entry.timeoutMs, fence: entry.fence, signal: undefined },
      entry.sendings,
    );
  }

  #end(entry: Entry): void {
    if (entry.state === 'sent') this.#sentCount--;
    else this.#line.delete(entry);
    entry.state = 'ended';
    entry.unlisten();
    if (this.#again.length > 0) this.#again = this.#again.filter((other) => other !== entry);
    this.#pending.delete(entry);
    if (this.#pending.size === 0) for (const idle of this.#idle.splice(0)) idle();
  }

  #close(entry: Entry): void {
    this.#unknown.delete(entry);
    this.#numbers.close(entry.sequence);
  }

  #listen(entry: Entry, signal: AbortSignal): void {
    const abort = () => this.#giveUp(entry, signal.reason, false);
    signal.addEventListener('abort', abort, { once: true });
    entry.unlisten = () => signal.removeEventListener('abort', abort);
  }
}
