import type { Channel, ConsumeMessage } from 'amqplib';
import { PREFETCH, type Contender, type Running } from '../contender.js';
import { Connections, EXCHANGE } from './connections.js';

const TOPIC = 'bench.durable';

export interface HandOptions {
  readonly name: string;
  readonly durable: boolean;
  /** With the headers of signalbox and JSON both ways; else one Buffer that nobody looks into. */
  readonly parsed: boolean;
}

/** What somebody would write on amqplib who wants the same: confirms, two connections, coalesced acks. */
export function byHand({ name, durable, parsed }: HandOptions): Contender {
  return {
    name,
    async open(url) {
      const connections = await Connections.open(url);
      const { consumer } = connections;
      const options = durable ? { durable } : { exclusive: true, durable };
      const { queue } = await consumer.assertQueue(durable ? `bench.${name}` : '', options);
      const key = durable ? TOPIC : 'bench.transient';
      await consumer.bindQueue(queue, EXCHANGE, key);
      await consumer.prefetch(PREFETCH);
      const acks = new Acks(consumer);
      const bare = Buffer.alloc(512, 'x');
      let number = 0;
      const running: Running = {
        publish: (data) =>
          connections.publish(
            key,
            parsed ? Buffer.from(JSON.stringify(data)) : bare,
            parsed
              ? { deliveryMode: 2, contentType: 'application/json', headers: headersOf(++number) }
              : { deliveryMode: 2 },
          ),
        handled: () => {},
        close: async () => {
          await consumer.deleteQueue(queue);
          await connections.close();
        },
      };
      await consumer.consume(
        queue,
        (message) => {
          // The queue is deleted at the end.
          if (!message) return;
          if (parsed) read(message);
          running.handled();
          if (durable) acks.add(message);
        },
        { noAck: !durable },
      );
      return running;
    },
  };
}

/** Once a turn of the event loop, one for all: they end in the order in which they came. */
class Acks {
  readonly #channel: Channel;
  #last: ConsumeMessage | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  add(message: ConsumeMessage): void {
    if (!this.#last)
      setImmediate(() => {
        this.#channel.ack(this.#last!, true);
        this.#last = undefined;
      });
    this.#last = message;
  }
}

function headersOf(number: number): Record<string, string> {
  return {
    cloudEvents_specversion: '1.0',
    cloudEvents_id: `by-hand-${number}`,
    cloudEvents_type: TOPIC,
    cloudEvents_time: new Date().toISOString(),
    cloudEvents_source: 'signalbox:bench/publisher',
    cloudEvents_sequence: String(number).padStart(16, '0'),
    cloudEvents_signalboxversion: '1',
  };
}

/** What a handler wants to know. */
function read({ content, properties }: ConsumeMessage): unknown {
  const headers = properties.headers as Record<string, string>;
  const { cloudEvents_id: id, cloudEvents_type: topic, cloudEvents_time: time } = headers;
  return { id, topic, time: new Date(time!), data: JSON.parse(content.toString()) as unknown };
}
