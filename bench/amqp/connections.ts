import { connect, type Channel, type ChannelModel, type ConfirmChannel, type Options } from 'amqplib';

export const EXCHANGE = 'bench.events';

/** What somebody opens on amqplib who wants confirms, and acks that nothing holds up. */
export class Connections {
  private constructor(
    readonly consumer: Channel,
    private readonly publisher: ConfirmChannel,
    private readonly both: readonly ChannelModel[],
  ) {}

  static async open(url: string): Promise<Connections> {
    const open = () => connect(url, { noDelay: true });
    const [publishing, consuming] = [await open(), await open()];
    const publisher = await publishing.createConfirmChannel();
    await publisher.assertExchange(EXCHANGE, 'topic', { durable: true });
    return new Connections(await consuming.createChannel(), publisher, [publishing, consuming]);
  }

  /** Resolves when the broker has confirmed it. */
  publish(key: string, content: Buffer, options: Options.Publish): Promise<void> {
    return new Promise((resolve, reject) =>
      this.publisher.publish(EXCHANGE, key, content, options, (error: unknown) =>
        error ? reject(error) : resolve(),
      ),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.both.map((connection) => connection.close()));
  }
}
