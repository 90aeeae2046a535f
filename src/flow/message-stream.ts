import type { Message } from '../model/message.js';
import { Deferred } from './deferred.js';

/** Ends whatever feeds the stream. */
export interface StreamSource {
  stop(): Promise<void>;
}

/**
 * Messages as an async iterable. It takes one at a time, so that the mailbox behind it is what bounds it; it ends when
 * the loop is left, when it is stopped, or with the reason of its signal.
 */
export class MessageStream implements AsyncIterableIterator<Message, undefined> {
  #source: StreamSource | undefined;
  #offered: { message: Message; taken: Deferred<void> } | undefined;
  #asked: Deferred<IteratorResult<Message, undefined>> | undefined;
  #end: { error: unknown } | 'done' | undefined;

  /** The handler that feeds it: it ends when its message was taken. */
  readonly handler = (message: Message): Promise<void> | undefined => {
    if (this.#end) return undefined;
    if (this.#asked) {
      this.#asked.resolve({ done: false, value: message });
      this.#asked = undefined;
      return undefined;
    }
    this.#offered = { message, taken: new Deferred() };
    return this.#offered.taken.promise;
  };

  from(source: StreamSource): this {
    this.#source = source;
    return this;
  }

  /** Ends the stream: the loop throws `error`. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  next(): Promise<IteratorResult<Message, undefined>> {
    const offered = this.#offered;
    if (offered) {
      this.#offered = undefined;
      offered.taken.resolve();
      return Promise.resolve({ done: false, value: offered.message });
    }
    if (this.#end) return this.#ended(this.#end);
    this.#asked ??= new Deferred();
    return this.#asked.promise;
  }

  async return(): Promise<IteratorResult<Message, undefined>> {
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

  #finish(end: { error: unknown } | 'done'): void {
    if (this.#end) return;
    this.#end = end;
    this.#offered?.taken.resolve();
    this.#offered = undefined;
    const asked = this.#asked;
    this.#asked = undefined;
    if (asked) void this.#ended(end).then(asked.resolve, asked.reject);
  }

  #ended(end: { error: unknown } | 'done'): Promise<IteratorResult<Message, undefined>> {
    return end === 'done' ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(end.error);
  }
}
