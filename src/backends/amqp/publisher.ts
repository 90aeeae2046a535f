import type { ConfirmChannel } from 'amqplib';
import type { Ownership } from '../../backend.js';
import { FencedError, QueueFullError, SignalboxError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { isNack } from './broker-errors.js';
import type { Connection } from './connection.js';
import { AmqpOwnership } from './ownership.js';
import { pack } from './properties.js';

/** Publishes to the exchange of a namespace, in the order of the calls. */
export class Publisher {
  readonly #connection: Connection;
  readonly #channel: ConfirmChannel;
  readonly #exchange: string;
  readonly #spareHeaders: Record<string, unknown> = {};
  #trouble: Error | undefined;

  private constructor(connection: Connection, channel: ConfirmChannel, exchange: string) {
    this.#connection = connection;
    this.#channel = channel;
    this.#exchange = exchange;
    channel.on('error', (error: Error) => (this.#trouble ??= error));
  }

  static async open(connection: Connection, exchange: string): Promise<Publisher> {
    return new Publisher(connection, await connection.confirmChannel(), exchange);
  }

  /** Calls back when the broker has closed its channel alone: what was sent over it has no answer. */
  readonly onClosed = (closed: (trouble: Error | undefined) => void): void => {
    this.#connection.whenAlone(this.#channel, () => closed(this.#trouble));
  };

  /** Resolves once every durable queue that matches has it. */
  publish(envelope: Envelope, fence?: Ownership): Promise<void> {
    if (fence && !(fence instanceof AmqpOwnership && fence.isHeld))
      return Promise.reject(new FencedError(`The ownership of queue "${fence.queue}" has ended.`));
    return new Promise((resolve, reject) => {
      const answered = (error: unknown) => {
        if (!error) resolve();
        else reject(isNack(error) ? new QueueFullError([]) : this.#connection.lostError());
      };
      try {
        const { body, options } = pack(envelope, fence, this.#spareHeaders);
        this.#channel.publish(this.#exchange, envelope.topic, body, options, answered);
      } catch (thrown) {
        // The channel is closed, or the message cannot be packed.
        reject(thrown instanceof SignalboxError ? thrown : this.#connection.lostError());
      }
    });
  }
}
