import { PREFETCH, type Contender, type Running } from '../contender.js';
import { race } from '../race.js';
import { result, type Result } from '../result.js';
import { signalbox } from '../signalbox.js';
import { withNats } from './broker.js';
import { StockClient } from './stock-client.js';

const SECONDS_MAX = 180;
const CONSUMER = 'bench';

/**
 * Confirmed publish to handled and acked, in one process over one server: signalbox, and the stock client with as many in
 * flight, the same headers and JSON. Then publishing alone, into a durable queue that nobody consumes.
 */
export async function run(): Promise<Result[]> {
  const [ours, theirs] = [signalbox('signalbox', 'consumer'), stock('stock client', 'consumer')];
  const [oursAlone, theirsAlone] = [
    signalbox('signalbox, publishing alone', 'queue'),
    stock('stock client, publishing alone', 'queue'),
  ];
  return withNats(SECONDS_MAX, async ({ url }) => {
    const rate = await race({ url, contenders: [ours, theirs], until: 'handled' });
    const alone = await race({ url, contenders: [oursAlone, theirsAlone], until: 'confirmed' });
    return [
      result('signalbox against the stock client', rate(ours) / rate(theirs), 'times', { atLeast: 2 }),
      result('publishing alone, against the stock client', alone(oursAlone) / alone(theirsAlone), 'times', {
        atLeast: 2.5,
      }),
      ...[ours, theirs].map((contender) => result(contender.name, rate(contender), 'messages/s')),
      ...[oursAlone, theirsAlone].map((contender) => result(contender.name, alone(contender), 'messages/s')),
    ];
  });
}

function stock(name: string, target: 'consumer' | 'queue'): Contender {
  return {
    name,
    async open(url) {
      const client = await StockClient.open(url);
      await client.addConsumer(CONSUMER);
      const running: Running = {
        publish: (data) => client.publish('bench.topic', data),
        handled: () => {},
        close: () => client.close(),
      };
      if (target === 'consumer') await client.consume(CONSUMER, PREFETCH, () => running.handled());
      return running;
    },
  };
}
