import type { ConsumeMessage } from 'amqplib';
import type { Consumer, ConsumerSink, LetterDetails } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import type { Calls } from './call-record.js';
import { AmqpDelivery } from './delivery.js';
import type { Letters } from './letters.js';
import type { AmqpOwnership } from './ownership.js';
import { readMark, unpack } from './properties.js';
import type { Taker, WorkChannel } from './work-channel.js';

export interface ConsumerPorts {
  readonly channel: WorkChannel;
  readonly environment: Environment;
  readonly letters: Letters;
  readonly ended: (consumer: AmqpConsumer) => void;
}

/** Who consumes a durable queue. */
export class AmqpConsumer implements Consumer, Taker {
  readonly #ports: ConsumerPorts;
  readonly #sink: ConsumerSink;
  readonly #held = new Map<number, AmqpDelivery>();
  #isOpen = true;
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
    return this.#held.size;
  }

  open(): Promise<void> {
    return this.#ports.channel.join(this);
  }

  has(delivery: AmqpDelivery): boolean {
    return this.#isOpen && this.#held.has(delivery.message.fields.deliveryTag);
  }

  /** Whether a word about it is accepted now. */
  holds(delivery: AmqpDelivery): boolean {
    return this.has(delivery) && (this.ownership === undefined || this.ownership.valid());
  }

  settle(delivery: AmqpDelivery): void {
    this.#held.delete(delivery.message.fields.deliveryTag);
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
    const held = [...this.#held.values()];
    this.#held.clear();
    for (const { key, calls } of held) this.ownership?.calls.givenBack(key, calls);
    try {
      const messages = held.map(({ message }) => message);
      await this.#ports.channel.leave(this, messages);
    } finally {
      this.#ports.ended(this);
    }
  }

  take(message: ConsumeMessage): void {
    const delivery = this.#deliveryOf(message);
    this.#held.set(message.fields.deliveryTag, delivery);
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
