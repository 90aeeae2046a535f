import type { Consumer, ConsumerSink, LetterDetails } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { TurnoverMap } from '../../model/turnover-map.js';
import type { Calls } from '../broker/call-record.js';
import type { Connection } from './connection.js';
import { JetStreamDelivery } from './delivery.js';
import { headersOf, readMark, unpack } from './headers.js';
import { comesBefore, type Held } from './held.js';
import type { Inbox } from './inbox.js';
import type { Intake, Taker } from './intake.js';
import type { Letters } from './letters.js';
import type { JetStreamOwnership } from './ownership.js';
import type { Source } from './source.js';
import { topicOf } from './subjects.js';

export interface ConsumerPorts {
  readonly connection: Connection;
  readonly inbox: Inbox;
  readonly environment: Environment;
  readonly letters: Letters;
  readonly prefix: string;
  readonly intake: Intake;
  /** Of a shared queue: up to this sequence nobody knows what was handed over before. */
  readonly uncertain: number;
  readonly ended: (consumer: JetStreamConsumer) => void;
}

/** So long the end of a consumer waits for the server to have processed what was said. */
const PROCESSED_MS = 3_000;

/** Who consumes a durable queue: an owner, or one of many. */
export class JetStreamConsumer implements Consumer, Taker {
  readonly #ports: ConsumerPorts;
  readonly #sink: ConsumerSink;
  readonly #inHand = new TurnoverMap<Held, JetStreamDelivery>();
  #isOpen = true;
  #closing: Promise<void> | undefined;

  constructor(
    readonly queue: string,
    /** Undefined for a shared queue. */
    readonly ownership: JetStreamOwnership | undefined,
    readonly prefetch: number,
    sink: ConsumerSink,
    ports: ConsumerPorts,
  ) {
    this.#sink = sink;
    this.#ports = ports;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get room(): number {
    return this.#isOpen ? this.prefetch - this.#inHand.size : 0;
  }

  has(delivery: JetStreamDelivery): boolean {
    return this.#isOpen && this.#inHand.get(delivery.held) === delivery;
  }

  /** Whether a word about it is accepted now. */
  holds(delivery: JetStreamDelivery): boolean {
    return this.has(delivery) && (this.ownership === undefined || this.ownership.valid());
  }

  take(held: Held): void {
    const delivery = this.#deliveryOf(held);
    held.wasShown = true;
    this.#inHand.set(held, delivery);
    this.#sink.delivery(delivery);
  }

  settle({ held }: JetStreamDelivery): void {
    if (!this.#inHand.delete(held)) return;
    this.ownership?.settled(held);
    held.source.ack(held);
    if (held.source.isAgain) this.#ports.letters.settledAgain(held.place.sequence);
    this.#ports.intake.forget(held);
  }

  bury(delivery: JetStreamDelivery, letter: LetterDetails): Promise<void> {
    return this.#ports.letters.bury(this.queue, delivery, letter);
  }

  /** Nothing more is handed over, and nothing said of what was is accepted. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** The session has gone, or the ownership has ended. */
  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#ports.intake.detach();
    this.#inHand.clear();
    if (!this.ownership) for (const source of this.#ports.intake.sources) source.stop();
    this.#ports.ended(this);
  }

  /** No more deliveries will come. */
  lost(reason: Error): void {
    if (!this.#isOpen) return;
    this.end();
    this.#sink.lost(reason);
  }

  /** Of a shared queue: nothing more comes, and all that it held. */
  async letGo(): Promise<Held[]> {
    this.#isOpen = false;
    const { intake } = this.#ports;
    intake.detach();
    this.#inHand.clear();
    await Promise.all(intake.sources.map((source) => source.letGo()));
    return intake.takeAll();
  }

  /** Resolves when the server has processed what was said of these sources. */
  async processed(): Promise<void> {
    const { intake } = this.#ports;
    await Promise.all(intake.sources.map((source) => this.#processed(source)));
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    if (this.ownership) await this.#handBackToOwnership(this.ownership);
    else {
      for (const held of await this.letGo()) held.source.nak(held);
      await this.processed();
      this.#ports.ended(this);
    }
  }

  /** What is not settled stays with the ownership, which gives it to the next consumer. */
  async #handBackToOwnership(ownership: JetStreamOwnership): Promise<void> {
    this.#isOpen = false;
    const { intake } = this.#ports;
    intake.detach();
    for (const { held, calls } of this.#inHand.values()) ownership.calls.givenBack(held.key, calls);
    intake.giveBack([...this.#inHand.values()].map(({ held }) => held));
    this.#inHand.clear();
    try {
      await this.processed();
      await ownership.noteSettled();
    } finally {
      this.#ports.ended(this);
    }
  }

  async #processed({ lastAck }: Source): Promise<void> {
    const { connection, inbox, environment } = this.#ports;
    if (lastAck === undefined || !connection.isOpen) return;
    const { clock } = environment;
    await new Promise<void>((resolve) => {
      // A word that changes nothing; it is answered when all before it has been dealt with.
      const token = inbox.ask(lastAck, '+WPI', { answered: () => done() });
      const timer = clock.setTimeout(() => done(), PROCESSED_MS);
      const offEnd = connection.onEnd(() => done());
      const done = () => {
        clock.clearTimeout(timer);
        inbox.forget(token);
        offEnd();
        resolve();
      };
    });
  }

  #deliveryOf(held: Held): JetStreamDelivery {
    const { prefix } = this.#ports;
    const { message, place, source } = held;
    const headers = headersOf(message);
    const redrives = source.isAgain ? Number(readMark(headers, 'redrives') ?? 0) || 0 : 0;
    const topic = (source.isAgain && readMark(headers, 'topic')) || topicOf(prefix, message.subject);
    const received = unpack({
      topic,
      headers,
      body: message.data,
      receivedAt: Math.floor(place.storedAt / 1_000_000),
      fallbackId: (source.isAgain && readMark(headers, 'id')) || `${place.stream}-${place.sequence}-foreign`,
    });
    const calls = this.#callsOf(held);
    const isFirst = !held.wasShown && !calls.wasDelivered && redrives === 0;
    // A receiver refuses by the fence at the server's first delivery only.
    const envelope = isFirst || !received.fence ? received : { ...received, fence: undefined };
    return new JetStreamDelivery(this, held, envelope, redrives, calls);
  }

  #callsOf(held: Held): Calls & { readonly wasDelivered: boolean } {
    if (this.ownership) {
      const wasDelivered = this.ownership.wasDelivered(held);
      const calls = this.ownership.calls.of(held.key, this.ownership.mayHaveBegun(held));
      return { ...calls, wasDelivered };
    }
    const attempts = held.place.deliveries - 1;
    const isUncertain = !held.source.isAgain && held.place.sequence <= this.#ports.uncertain;
    const wasDelivered = attempts > 0 || isUncertain;
    return { attempts, isFlagged: wasDelivered, wasDelivered };
  }
}

export function inOrder(items: Held[]): Held[] {
  return items.sort((one, other) => (comesBefore(one, other) ? -1 : 1));
}
