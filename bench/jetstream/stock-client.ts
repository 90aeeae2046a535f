import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import { connect, headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';

const STREAM = 'bench-stock';
const PREFIX = `${STREAM}.ev.`;

/** A connection with the stream of messages, as its documentation has it and as signalbox makes its own. */
export class StockClient {
  #number = 0;

  private constructor(
    readonly connection: NatsConnection,
    private readonly client: JetStreamClient,
    private readonly manager: JetStreamManager,
  ) {}

  static async open(url: string): Promise<StockClient> {
    const connection = await connect({ servers: url });
    const manager = await jetstreamManager(connection);
    await manager.streams.add({
      name: STREAM,
      subjects: [`${PREFIX}>`],
      retention: RetentionPolicy.Interest,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_bytes: 1_000_000_000,
    });
    return new StockClient(connection, jetstream(connection), manager);
  }

  subject(topic: string): string {
    return PREFIX + topic;
  }

  /** With the headers of signalbox, and JSON. Resolves when the stream has confirmed it. */
  publish(topic: string, data: object): Promise<unknown> {
    const id = `stock-${++this.#number}`;
    const options = { msgID: id, headers: headersOf(id, this.#number, topic) };
    return this.client.publish(PREFIX + topic, JSON.stringify(data), options);
  }

  /** A durable consumer of all messages from now on. */
  async addConsumer(name: string): Promise<void> {
    await this.manager.consumers.add(STREAM, {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.New,
    });
  }

  /** Acks each message whose handler has returned. */
  async consume(name: string, prefetch: number, handle: (parsed: unknown) => void): Promise<void> {
    const consumer = await this.client.consumers.get(STREAM, name);
    await consumer.consume({
      max_messages: prefetch,
      callback: (message) => {
        handle(parse(message));
        message.ack();
      },
    });
  }

  /** With all that its stream holds. */
  async close(): Promise<void> {
    await this.manager.streams.delete(STREAM);
    await this.connection.close();
  }
}

function headersOf(id: string, number: number, topic: string): MsgHdrs {
  const made = headers();
  made.set('ce-specversion', '1.0');
  made.set('ce-id', id);
  made.set('ce-type', topic);
  made.set('ce-time', new Date().toISOString());
  made.set('ce-source', 'signalbox:bench/publisher');
  made.set('ce-sequence', String(number).padStart(16, '0'));
  made.set('ce-signalboxversion', '1');
  return made;
}

/** What a handler wants to know. */
function parse(message: JsMsg): unknown {
  const { headers: all } = message;
  const time = new Date(all?.get('ce-time') ?? 0);
  return { id: all?.get('ce-id'), topic: all?.get('ce-type'), time, data: message.json() };
}
