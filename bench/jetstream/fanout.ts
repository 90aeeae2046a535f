import { DATA, measureCrowds, signalbox, type Way } from '../fanout.js';
import { result, type Result } from '../result.js';
import { withNats } from './broker.js';
import { StockClient } from './stock-client.js';

const SECONDS_MAX = 180;
const MESSAGES = 2_000;

/** One master with 1,000 transient subscribers, against a core subscription for each. Both publish through JetStream. */
export async function run(): Promise<Result[]> {
  return withNats(SECONDS_MAX, async ({ url }) => {
    const [ours, theirs] = await measureCrowds([
      { name: 'signalbox', open: () => signalbox(url), messages: MESSAGES },
      { name: 'a core subscription for each', open: () => coreSubscriptions(url), messages: MESSAGES },
    ]);
    return [
      result(
        'messages that 100 of 1,000 match, against a core subscription for each',
        ours!.messages / theirs!.messages,
        'times',
        {
          atLeast: 3,
        },
      ),
      result('signalbox: messages', ours!.messages, 'messages/s'),
      result('a core subscription for each: messages', theirs!.messages, 'messages/s'),
      result('signalbox: subscribing', ours!.subscribes, 'subscribes/s'),
      result('a core subscription for each: subscribing', theirs!.subscribes, 'subscribes/s'),
    ];
  });
}

async function coreSubscriptions(url: string): Promise<Way> {
  const client = await StockClient.open(url);
  return {
    subscribe: async (pattern, handler) => {
      client.connection.subscribe(client.subject(pattern), {
        callback: (error, message) => {
          if (error) throw error;
          void handler(message.json());
        },
      });
      // The server has it when it has answered.
      await client.connection.flush();
    },
    publish: (topic) => client.publish(topic, DATA),
    close: () => client.close(),
  };
}
