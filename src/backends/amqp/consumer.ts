import type { ConsumeMessage } from 'amqplib';
import type { Consumer, ConsumerSink, LetterDetails } from '../../backend.js';
import type { Environment, Timer } from '../../model/clock.js';
import type { Calls } from '../broker/call-record.js';
import { AmqpDelivery } from './delivery.js';
import { Holding } from './holding.js';
import type { Letters } from './letters.js';
import type { AmqpOwnership } from './ownership.js';
import { readMark, unpack } from './properties.js';
import type { Taker, WorkChannel } from './work-channel.js';

/** So many looks at what is held go into the consumer timeout. */
const LOOKS = 8;

export interface ConsumerPorts {
  readonly channel: WorkChannel;
  readonly environment: Environment;
  readonly letters: Letters;
  /** What the broker lets a consumer hold unsettled for so long, it takes back with the channel. */
  readonly consumerTimeoutMs: number;
  readonly ended: (consumer: AmqpConsumer) => void;
}

/** Who consumes a durable queue. */
export class AmqpConsumer implements Consumer, Taker {
  readonly #ports: ConsumerPorts;
  readonly #sink: ConsumerSink;
  readonly #holding = new Holding();
  #isOpen = true;
  #renewTimer: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    readonly queue: string,
    readonly ownership: AmqpOwnership | undefined,
    readonly prefetch: number,
    sink: ConsumerSink,
    ports: ConsumerPorts,
  ) {
    this.#sink = sink;
    this.#ports = ports;
  }

  get inHand(): number {
    return this.#holding.size;
  }

  async open(): Promise<void> {
    await this.#ports.channel.join(this);
    // Of a shared queue, what goes back may go to another.
    if (this.ownership && this.#isOpen) this.#renewLater();
  }

  has(delivery: AmqpDelivery): boolean {
    return this.#isOpen && this.#holding.has(delivery);
  }

  /** Whether a word about it is accepted now. */
  holds(delivery: AmqpDelivery): boolean {
    return this.has(delivery) && (this.ownership === undefined || this.ownership.valid());
  }

  settle(delivery: AmqpDelivery): void {
    if (!this.#holding.settle(delivery)) return;
    this.ownership?.calls.settled(delivery.key);
    this.#ports.channel.ack(delivery.message);
  }

  bury(delivery: AmqpDelivery, letter: LetterDetails): Promise<void> {
    return this.#ports.letters.bury(this.queue, delivery, letter);
  }

  /** Nothing more is handed over, and nothing said of what was is accepted. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#ports.environment.clock.clearTimeout(this.#renewTimer);
    const { away, held } = this.#holding.takeAll();
    for (const { key, calls } of away) this.ownership?.calls.givenBack(key, calls);
    for (const { key, calls } of held) this.ownership?.calls.givenBack(key, calls);
    try {
      const messages = held.map(({ message }) => message);
      await this.#ports.channel.leave(this, messages);
    } finally {
      this.#ports.ended(this);
    }
  }

  take(message: ConsumeMessage): void {
    const now = this.#ports.environment.clock.now();
    const known = this.#holding.returned(message, now);
    // Settled while it was away: its ack goes out now.
    if (known?.isSettled) return this.settle(known.delivery);
    if (known) return;
    const delivery = this.#deliveryOf(message);
    this.#holding.add(delivery, now);
    this.#sink.delivery(delivery);
  }

  /** Came when it was closing: it comes again, and the broker will say that it was delivered before. */
  passOver(message: ConsumeMessage): void {
    const { key, calls } = this.#deliveryOf(message);
    this.ownership?.calls.givenBack(key, calls);
  }

  /** Ended by the broker. */
  lost(reason: Error): void {
    if (!this.#isOpen) return;
    void this.close();
    this.#sink.lost(reason);
  }

  /** What is held for half of what the broker allows goes back and comes again, without a word to who handles it. */
  #renewLater(): void {
    const { clock } = this.#ports.environment;
    const { consumerTimeoutMs, channel } = this.#ports;
    this.#renewTimer = clock.setTimeout(() => {
      const oldest = this.#holding.oldestAt;
      const isDue = oldest !== undefined && clock.now() - oldest >= consumerTimeoutMs / 2;
      if (isDue && channel.giveBackAll()) this.#holding.givenBack();
      this.#renewLater();
    }, consumerTimeoutMs / LOOKS);
  }

  #deliveryOf(message: ConsumeMessage): AmqpDelivery {
    const { fields, properties, content } = message;
    const { environment } = this.#ports;
    // Only what was put into the queue past the exchange is ours to mark.
    const isPutBack = fields.exchange === '';
    const redrives = isPutBack ? Number(readMark(properties, 'redrives') ?? 0) || 0 : 0;
    const topic = (isPutBack && readMark(properties, 'topic')) || fields.routingKey;
    const id = isPutBack ? readMark(properties, 'id') : undefined;
    const received = unpack({
      content,
      topic,
      properties,
      receivedAt: environment.clock.wall(),
      randomId: environment.randomId,
    });
    const envelope = id === undefined ? received : { ...received, id };
    const calls = this.#callsOf(message, `${envelope.id}/${redrives}`);
    const isFirst = !fields.redelivered && redrives === 0;
    // A receiver refuses by the fence at the broker's first delivery only.
    const shown = isFirst || !envelope.fence ? envelope : { ...envelope, fence: undefined };
    return new AmqpDelivery(this, message, shown, redrives, calls);
  }

  #callsOf({ fields, properties }: ConsumeMessage, key: string): Calls {
    if (this.ownership) return this.ownership.calls.of(key, fields.redelivered);
    // Of a shared queue the broker alone counts.
    const count: unknown = properties.headers?.['x-delivery-count'];
    const attempts = typeof count === 'number' && count > 0 ? count : 0;
    return { attempts, isFlagged: fields.redelivered || attempts > 0 };
  }
}
