import type { Channel, GetMessage, Message, Options } from 'amqplib';
import type { DeadLetter, LetterDetails } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { QueueDeletedError } from '../../model/errors.js';
import { queueError } from './broker-errors.js';
import type { Connection } from './connection.js';
import type { AmqpDelivery } from './delivery.js';
import type { Direct } from './direct.js';
import type { DurableQueues } from './durable-queues.js';
import { detailsOf, marksOf } from '../broker/letter-marks.js';
import type { Names } from './names.js';
import { headersOf, mark, readMark, unpack } from './properties.js';

/** A letter in the hands of a reader. */
interface Held {
  readonly message: GetMessage;
  readonly letter: DeadLetter;
  readonly redrives: number;
}

/** What the broker adds to a message that it dead-letters or counts: it would refuse or change it in a copy. */
const BROKERS = /^x-(?:death|first-death|last-death|delivery-count|acquired-count)/;

/** The dead letters of durable queues. AMQP cannot browse: whoever reads holds what it has read until it has done. */
export class Letters {
  readonly #readers = new Map<string, Set<Reader>>();
  readonly #connection: Connection;
  readonly #direct: Direct;
  readonly #queues: DurableQueues;
  readonly #names: Names;
  readonly #environment: Environment;

  constructor(ports: {
    connection: Connection;
    direct: Direct;
    queues: DurableQueues;
    names: Names;
    environment: Environment;
  }) {
    this.#connection = ports.connection;
    this.#direct = ports.direct;
    this.#queues = ports.queues;
    this.#names = ports.names;
    this.#environment = ports.environment;
  }

  /** A confirmed copy; the message itself is still held. */
  async bury(queue: string, delivery: AmqpDelivery, details: LetterDetails): Promise<void> {
    const { envelope, redrives, message } = delivery;
    await this.#put(queue, this.#names.letters(queue), message, {
      topic: envelope.topic,
      redrives: String(redrives),
      id: envelope.id,
      // Only foreign messages have ids that are not unique.
      ...(!envelope.origin && { nonce: this.#environment.randomId() }),
      ...marksOf(details),
      at: String(this.#environment.clock.wall()),
    });
  }

  async *read(queue: string): AsyncIterable<DeadLetter> {
    await this.#queues.check(queue);
    const reader = await this.#reader(queue);
    const readers = this.#readers.get(queue) ?? new Set();
    this.#readers.set(queue, readers.add(reader));
    try {
      for (let left = reader.count; left > 0; left--) {
        const held = await reader.next();
        if (!held) return;
        yield held.letter;
      }
    } finally {
      readers.delete(reader);
      await reader.close();
    }
  }

  redrive(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.#take(queue, ids, ({ message, letter, redrives }) =>
      this.#put(
        queue,
        this.#names.work(queue),
        message,
        { topic: letter.envelope.topic, redrives: String(redrives + 1), id: letter.envelope.id },
        'cloudEvents_signalboxfence',
      ),
    );
  }

  drop(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.#take(queue, ids, async () => {});
  }

  /** First what an open reader of this session holds, then the rest. */
  async #take(
    queue: string,
    ids: readonly string[] | undefined,
    use: (held: Held) => Promise<void>,
  ): Promise<number> {
    await this.#queues.check(queue);
    const wanted = ids && new Set(ids);
    let count = 0;
    const isWanted = ({ letter }: Held) => !wanted || wanted.has(letter.id);
    const take = async (reader: Reader, held: Held) => {
      await use(held);
      reader.settle(held);
      count++;
    };
    for (const reader of this.#readers.get(queue) ?? [])
      for (const held of reader.held) if (isWanted(held)) await take(reader, held);
    if (wanted?.size === 0) return count;
    const reader = await this.#reader(queue);
    try {
      for (let left = reader.count; left > 0; left--) {
        const held = await reader.next();
        if (!held) break;
        if (isWanted(held)) await take(reader, held);
      }
    } finally {
      await reader.close();
    }
    return count;
  }

  async #reader(queue: string): Promise<Reader> {
    const channel = await this.#connection.channel();
    try {
      const name = this.#names.letters(queue);
      const { messageCount } = await channel.checkQueue(name);
      return new Reader(this.#connection, channel, name, messageCount, (message) =>
        this.#held(queue, message),
      );
    } catch (error) {
      throw this.#connection.isOpen ? queueError(error, queue) : this.#connection.lostError();
    }
  }

  #held(queue: string, message: GetMessage): Held {
    const { properties, fields, content } = message;
    const { clock, randomId } = this.#environment;
    const told = (name: string) => readMark(properties, name);
    const received = unpack({
      content,
      properties,
      topic: told('topic') ?? fields.routingKey,
      receivedAt: clock.wall(),
      randomId,
    });
    const envelope = { ...received, id: told('id') ?? received.id, fence: undefined };
    const redrives = Number(told('redrives') ?? 0) || 0;
    const nonce = told('nonce');
    const letter: DeadLetter = {
      id: `${queue}/${envelope.id}/${redrives}${nonce === undefined ? '' : `/${nonce}`}`,
      envelope,
      ...detailsOf(told),
      at: Number(told('at') ?? 0) || envelope.time,
    };
    return { message, letter, redrives };
  }

  /** The same bytes and headers, with other marks. */
  async #put(
    queue: string,
    to: string,
    message: Message,
    marks: Readonly<Record<string, string>>,
    without?: string,
  ): Promise<void> {
    const { contentType, messageId, timestamp } = message.properties as Options.Publish;
    const kept = Object.entries(headersOf(message.properties)).filter(
      ([name]) => !name.startsWith('signalbox-') && !BROKERS.test(name) && name !== without,
    );
    const copy = { deliveryMode: 2, headers: Object.fromEntries(kept) };
    const { body, options } = mark(
      {
        body: message.content,
        options: Object.assign(
          copy,
          contentType && { contentType },
          messageId && { messageId },
          timestamp && { timestamp },
        ),
      },
      marks,
    );
    const isThere = await this.#direct.send(to, body, options);
    if (!isThere) throw new QueueDeletedError(`Queue "${queue}" was deleted; what it held is gone.`);
  }
}

/** Letters in hand over a channel of their own: what is not settled goes back when it closes, in order. */
class Reader {
  readonly held = new Set<Held>();

  constructor(
    readonly connection: Connection,
    readonly channel: Channel,
    readonly name: string,
    readonly count: number,
    readonly read: (message: GetMessage) => Held,
  ) {}

  async next(): Promise<Held | undefined> {
    if (!this.connection.isOpen) throw this.connection.lostError();
    const message = await this.channel.get(this.name);
    if (!message) return undefined;
    const held = this.read(message);
    this.held.add(held);
    return held;
  }

  settle(held: Held): void {
    if (this.held.delete(held)) this.channel.ack(held.message);
  }

  async close(): Promise<void> {
    this.held.clear();
    await this.connection.closeChannel(this.channel);
  }
}
