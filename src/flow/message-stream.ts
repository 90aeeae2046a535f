import type { Clock } from '../model/clock.js';
import type { Message } from '../model/message.js';
import { Deferred } from './deferred.js';
import { Mailbox, type MailboxOptions } from './mailbox.js';
import { Outage } from './outage.js';

/** Ends whatever feeds the stream. */
export interface StreamSource {
  stop(): Promise<void>;
}

type Result = IteratorResult<Message, undefined>;

/**
 * Messages as an async iterable, behind a mailbox of its own: a loop that is slow, or not begun, holds nobody up. It ends
 * when the loop is left, when its source ends, or with an error.
 */
export class MessageStream implements AsyncIterableIterator<Message, undefined> {
  readonly #mailbox: Mailbox<Message>;
  readonly #outage: Outage;
  readonly #asked: Deferred<Result>[] = [];
  #source: StreamSource | undefined;
  #end: { error: unknown } | 'done' | undefined;

  constructor(clock: Clock, mailbox: MailboxOptions, overflowed: (missed: number) => void) {
    this.#mailbox = new Mailbox(mailbox);
    this.#outage = new Outage(clock, this.#mailbox, overflowed);
  }

  /** The handler that feeds it. */
  readonly handler = (message: Message): void => {
    if (this.#end) return;
    const asked = this.#asked.shift();
    if (asked) asked.resolve({ done: false, value: message });
    else this.#mailbox.put(message);
  };

  /** What feeds it has dropped some: that belongs to the same outage. */
  readonly missed = (count: number): void => {
    if (!this.#end) this.#mailbox.addDropped(count);
  };

  from(source: StreamSource): this {
    this.#source = source;
    return this;
  }

  next(): Promise<Result> {
    const value = this.#mailbox.take();
    this.#outage.look();
    if (value) return Promise.resolve({ done: false, value });
    if (this.#end) return ended(this.#end);
    const asked = new Deferred<Result>();
    this.#asked.push(asked);
    return asked.promise;
  }

  async return(): Promise<Result> {
    this.#finish('done');
    await this.#source?.stop();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** No message will follow. */
  end(): void {
    this.#finish('done');
  }

  /** The loop throws `error`. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  #finish(end: { error: unknown } | 'done'): void {
    if (this.#end) return;
    this.#end = end;
    this.#outage.end();
    this.#mailbox.clear();
    for (const asked of this.#asked.splice(0)) {
      if (end === 'done') asked.resolve({ done: true, value: undefined });
      else asked.reject(end.error);
    }
  }
}

function ended(end: { error: unknown } | 'done'): Promise<Result> {
  return end === 'done' ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(end.error);
}
