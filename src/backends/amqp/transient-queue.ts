import type { Channel, ConsumeMessage } from 'amqplib';
import type { TransientQueue, TransientSink } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { SessionLostError } from '../../model/errors.js';
import { CoveredPatterns } from './covered-patterns.js';
import type { Connection } from './connection.js';
import { unpack } from './properties.js';

export interface TransientPorts {
  readonly connection: Connection;
  readonly environment: Environment;
  readonly exchange: string;
  readonly name: string;
  readonly ended: (queue: AmqpTransientQueue) => void;
}

/** A queue of this connection's own: it, its bindings and its consumer die with the connection. */
export class AmqpTransientQueue implements TransientQueue {
  readonly #ports: TransientPorts;
  readonly #sink: TransientSink;
  readonly #patterns: CoveredPatterns;
  #channel: Channel | undefined;
  #isOpen = true;

  constructor(sink: TransientSink, ports: TransientPorts) {
    this.#sink = sink;
    this.#ports = ports;
    const { name, exchange } = ports;
    this.#patterns = new CoveredPatterns({
      bind: async (pattern) =>
        void (await this.#ask((channel) => channel.bindQueue(name, exchange, pattern))),
      unbind: async (pattern) =>
        void (await this.#ask((channel) => channel.unbindQueue(name, exchange, pattern))),
    });
  }

  async open(): Promise<void> {
    const channel = await this.#ports.connection.channel();
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
    await connection.closeChannel(this.#channel);
  }

  #hear(message: ConsumeMessage | null): void {
    if (!message || !this.#isOpen) return;
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
    const { connection } = this.#ports;
    if (!this.#isOpen || !this.#channel) throw new SessionLostError('The transient queue was closed.');
    if (!connection.isOpen) throw connection.lostError();
    try {
      return await work(this.#channel);
    } catch (thrown) {
      throw connection.isOpen ? thrown : connection.lostError();
    }
  }
}
