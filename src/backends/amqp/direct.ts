import type { ConfirmChannel, Message, Options } from 'amqplib';
import { isNack } from './broker-errors.js';
import type { Connection } from './connection.js';

interface Sending {
  returned: boolean;
}

/**
 * Messages to one queue by its name, past the exchange: tokens, knocks, letters, and what masters tell each other. All are
 * mandatory: one that comes back says that the queue is gone.
 */
export class Direct {
  readonly #channel: ConfirmChannel;
  readonly #connection: Connection;
  readonly #sendings = new Map<string, Sending>();
  #number = 0;
  #closed: (trouble: Error | undefined) => void = () => {};

  private constructor(connection: Connection, channel: ConfirmChannel) {
    this.#connection = connection;
    this.#channel = channel;
    let trouble: Error | undefined;
    channel.on('error', (error: Error) => (trouble ??= error));
    connection.whenAlone(channel, () => this.#closed(trouble));
    channel.on('return', (message: Message) => {
      const sending = this.#sendings.get(message.properties.correlationId as string);
      if (sending) sending.returned = true;
    });
  }

  static async open(connection: Connection): Promise<Direct> {
    return new Direct(connection, await connection.confirmChannel());
  }

  /** Calls back when the broker has closed its channel: nothing can be sent any more. */
  readonly onClosed = (closed: (trouble: Error | undefined) => void): void => {
    this.#closed = closed;
  };

  /** Resolves with whether the queue has it; rejects when it refused, or at the end of the session. */
  send(queue: string, body: Buffer, options: Options.Publish = {}): Promise<boolean> {
    return this.publish('', queue, body, options);
  }

  /** As `send`, to all queues that are bound to the exchange by that key: false if there is none. */
  publish(exchange: string, key: string, body: Buffer, options: Options.Publish = {}): Promise<boolean> {
    if (!this.#connection.isOpen) return Promise.reject(this.#connection.lostError());
    const number = String(++this.#number);
    const sending: Sending = { returned: false };
    this.#sendings.set(number, sending);
    return new Promise((resolve, reject) => {
      const answered = (error: unknown) => {
        this.#sendings.delete(number);
        if (!error) resolve(!sending.returned);
        else reject(isNack(error) ? error : this.#connection.lostError());
      };
      try {
        const all = { ...options, mandatory: true, correlationId: number };
        this.#channel.publish(exchange, key, body, all, answered);
      } catch (thrown) {
        this.#sendings.delete(number);
        reject(this.#connection.isOpen ? thrown : this.#connection.lostError());
      }
    });
  }
}
