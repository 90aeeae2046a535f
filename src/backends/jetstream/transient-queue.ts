import type { Msg, Subscription } from '@nats-io/transport-node';
import type { TransientQueue, TransientSink } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { SessionLostError } from '../../model/errors.js';
import { TopicIndex } from '../../model/topic-index.js';
import { CoveredPatterns } from '../broker/covered-patterns.js';
import type { Connection } from './connection.js';
import { Copies } from './copies.js';
import { subjectsOf } from './filters.js';
import { headersOf, MESSAGE_ID, unpack, type HeaderList } from './headers.js';
import { topicOf } from './subjects.js';

export interface TransientPorts {
  readonly connection: Connection;
  readonly environment: Environment;
  readonly prefix: string;
  /** Resolves when what was subscribed by now is in place for every master. */
  readonly settled: () => Promise<void>;
  readonly ended: (queue: JetStreamTransientQueue) => void;
}

/** Subscriptions of core NATS: they die with the connection. */
export class JetStreamTransientQueue implements TransientQueue {
  readonly #ports: TransientPorts;
  readonly #sink: TransientSink;
  readonly #wanted = new TopicIndex<true>();
  readonly #subscriptions = new Map<string, Subscription[]>();
  readonly #covered: CoveredPatterns;
  readonly #copies = new Copies();
  #isOpen = true;

  constructor(sink: TransientSink, ports: TransientPorts) {
    this.#sink = sink;
    this.#ports = ports;
    this.#covered = new CoveredPatterns({
      bind: (pattern) => this.#subscribe(pattern),
      unbind: (pattern) => this.#unsubscribe(pattern),
    });
  }

  async bind(pattern: string): Promise<void> {
    this.#check();
    this.#wanted.add(pattern, true);
    await this.#covered.add(pattern);
    this.#check();
  }

  async unbind(pattern: string): Promise<void> {
    this.#wanted.remove(pattern, true);
    if (!this.#isOpen || !this.#ports.connection.isOpen) return;
    await this.#covered.remove(pattern);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#ports.ended(this);
    const { connection } = this.#ports;
    if (!connection.isOpen) return;
    for (const subscriptions of this.#subscriptions.values())
      for (const subscription of subscriptions) subscription.unsubscribe();
    this.#subscriptions.clear();
    await connection.flush();
  }

  async #subscribe(pattern: string): Promise<void> {
    const { connection, prefix, settled } = this.#ports;
    const subscriptions = subjectsOf(pattern).map((subject) =>
      connection.subscribe(prefix + subject, (message) => this.#hear(message)),
    );
    this.#subscriptions.set(pattern, subscriptions);
    await settled();
  }

  async #unsubscribe(pattern: string): Promise<void> {
    for (const subscription of this.#subscriptions.get(pattern) ?? []) subscription.unsubscribe();
    this.#subscriptions.delete(pattern);
    await this.#ports.connection.flush();
  }

  #hear(message: Msg): void {
    if (!this.#isOpen) return;
    const { prefix, environment } = this.#ports;
    const topic = topicOf(prefix, message.subject);
    if (this.#wanted.match(topic).length === 0) return;
    const headers = headersOf(message);
    if (!this.#isFirst(message, headers)) return;
    this.#sink.message(
      unpack({
        topic,
        headers,
        body: message.data,
        receivedAt: environment.clock.wall(),
        fallbackId: environment.randomId(),
      }),
    );
  }

  #isFirst(message: Msg, headers: HeaderList): boolean {
    const id = headers.find(([name]) => name === MESSAGE_ID)?.[1];
    const name =
      id ?? JSON.stringify([message.subject, headers, Buffer.from(message.data).toString('latin1')]);
    return this.#copies.isFirst(name, message.sid, id !== undefined);
  }

  #check(): void {
    if (!this.#isOpen) throw new SessionLostError('The transient queue was closed.');
  }
}
