import type { Channel, ConsumeMessage } from 'amqplib';
import type { TransientQueue, TransientSink } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { SessionLostError, toError } from '../../model/errors.js';
import { accessError, isExchangeGone, replyCode, Reply } from './broker-errors.js';
import { CoveredPatterns } from '../broker/covered-patterns.js';
import type { Connection } from './connection.js';
import { unpack } from './properties.js';

export interface TransientPorts {
  readonly connection: Connection;
  readonly environment: Environment;
  readonly exchange: string;
  readonly name: string;
  readonly ended: (queue: AmqpTransientQueue) => void;
  /** The broker has ended it: nothing comes any more. */
  readonly broken: (reason: Error) => void;
}

/** A queue of this connection's own: it, its bindings and its consumer die with the connection. */
export class AmqpTransientQueue implements TransientQueue {
  readonly #ports: TransientPorts;
  readonly #sink: TransientSink;
  readonly #patterns: CoveredPatterns;
  /** Where messages come. */
  #channel: Channel | undefined;
  /** Where bindings are asked for: a refusal closes it, and the next one gets another. */
  #asking: Promise<Channel> | undefined;
  #isOpen = true;

  constructor(sink: TransientSink, ports: TransientPorts) {
    this.#sink = sink;
    this.#ports = ports;
    const { name, exchange } = ports;
    this.#patterns = new CoveredPatterns({
      bind: async (pattern) =>
        void (await this.#ask((channel) => channel.bindQueue(name, exchange, pattern))),
      unbind: async (pattern) => {
        try {
          await this.#ask((channel) => channel.unbindQueue(name, exchange, pattern));
        } catch (error) {
          // With its exchange the binding has gone too.
          if (!isExchangeGone(error)) throw error;
        }
      },
    });
  }

  async open(): Promise<void> {
    const { connection } = this.#ports;
    const channel = await connection.channel();
    connection.whenAlone(channel, () => this.#broken());
    await channel.assertQueue(this.#ports.name, { exclusive: true, durable: false, autoDelete: false });
    await channel.consume(this.#ports.name, (message) => this.#hear(message), { noAck: true });
    this.#channel = channel;
  }

  bind(pattern: string): Promise<void> {
    return this.#patterns.add(pattern);
  }

  unbind(pattern: string): Promise<void> {
    return this.#patterns.remove(pattern);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#ports.ended(this);
    const { connection, name } = this.#ports;
    if (!this.#channel || !connection.isOpen) return;
    await this.#channel.deleteQueue(name).catch(() => {});
    const asking = await this.#asking?.catch(() => undefined);
    if (asking) await connection.closeChannel(asking);
    await connection.closeChannel(this.#channel);
  }

  #broken(): void {
    if (this.#isOpen)
      this.#ports.broken(new SessionLostError('The broker has ended the transient queue of this session.'));
  }

  #hear(message: ConsumeMessage | null): void {
    if (!message) return this.#broken();
    if (!this.#isOpen) return;
    const { environment } = this.#ports;
    const { content, properties, fields } = message;
    this.#sink.message(
      unpack({
        content,
        properties,
        topic: fields.routingKey,
        receivedAt: environment.clock.wall(),
        randomId: environment.randomId,
      }),
    );
  }

  async #ask<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const { connection, broken } = this.#ports;
    for (;;) {
      if (!this.#isOpen || !this.#channel) throw new SessionLostError('The transient queue was closed.');
      if (!connection.isOpen) throw connection.lostError();
      try {
        return await work(await (this.#asking ??= this.#openAsking()));
      } catch (thrown) {
        if (!connection.isOpen) throw connection.lostError();
        // No code: it was another's refusal that has closed the channel.
        if (replyCode(thrown) === undefined) continue;
        if (isExchangeGone(thrown)) broken(new SessionLostError('The exchange was deleted.'));
        throw replyCode(thrown) === Reply.accessRefused ? accessError('a binding', toError(thrown)) : thrown;
      }
    }
  }

  async #openAsking(): Promise<Channel> {
    const channel = await this.#ports.connection.channel();
    channel.on('close', () => (this.#asking = undefined));
    return channel;
  }
}
