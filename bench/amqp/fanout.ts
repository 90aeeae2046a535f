import type { RabbitNode } from '../../test/brokers/rabbit-node.js';
import { DATA, measureCrowds, signalbox, type Way } from '../fanout.js';
import { result, type Result } from '../result.js';
import { withRabbit } from './broker.js';
import { Connections, EXCHANGE } from './connections.js';

const SECONDS_MAX = 300;
const MESSAGES = 2_000;
/** A queue for each subscriber is slow. */
const MESSAGES_OF_MANY_QUEUES = 200;
const CROWD = 5_000;
const CROWD_PATTERNS = 10;

/** One master with subscribers on few patterns, against a queue for each subscriber on amqplib. */
export async function run(): Promise<Result[]> {
  return withRabbit(SECONDS_MAX, async (node) => {
    const open = () => signalbox(node.url);
    const [few, distinct, hand] = await measureCrowds([
      { name: 'signalbox, 10 patterns', open, messages: MESSAGES },
      { name: 'signalbox, 1,000 patterns', open, messages: MESSAGES, patterns: 1_000 },
      { name: 'a queue for each', open: () => byHand(node.url), messages: MESSAGES_OF_MANY_QUEUES },
    ]);
    const memory = await memoryOf(node, open);
    const memoryByHand = await memoryOf(node, () => byHand(node.url));
    return [
      result(
        'messages that 100 of 1,000 match, against a queue for each',
        few!.messages / hand!.messages,
        'times',
        {
          atLeast: 20,
        },
      ),
      result(
        'subscribing, 10 patterns, against a queue for each',
        few!.subscribes / hand!.subscribes,
        'times',
        {
          atLeast: 20,
        },
      ),
      result(
        'subscribing, 1,000 patterns, against a queue for each',
        distinct!.subscribes / hand!.subscribes,
        'times',
        {
          atLeast: 4,
        },
      ),
      result('broker memory of 5,000, against a queue for each', memory / memoryByHand, 'times', {
        atMost: 0.1,
      }),
      result('signalbox: messages', few!.messages, 'messages/s'),
      result('a queue for each: messages', hand!.messages, 'messages/s'),
      result('signalbox: subscribing, 10 patterns', few!.subscribes, 'subscribes/s'),
      result('signalbox: subscribing, 1,000 patterns', distinct!.subscribes, 'subscribes/s'),
      result('a queue for each: subscribing', hand!.subscribes, 'subscribes/s'),
      result('signalbox: broker memory of 5,000', memory / 1e6, 'MB'),
      result('a queue for each: broker memory of 5,000', memoryByHand / 1e6, 'MB'),
    ];
  });
}

/** Bytes that the broker has more of while so many are subscribed. */
async function memoryOf(node: RabbitNode, open: () => Promise<Way>): Promise<number> {
  const way = await open();
  const before = await memory(node);
  await Promise.all(
    Array.from({ length: CROWD }, (_, number) =>
      way.subscribe(`crowd.${number % CROWD_PATTERNS}.*`, async () => {}),
    ),
  );
  const after = await memory(node);
  await way.close();
  return Math.max(1, after - before);
}

async function memory(node: RabbitNode): Promise<number> {
  const collect = '[erlang:garbage_collect(P) || P <- erlang:processes()], erlang:memory(total).';
  return Number(await node.control('eval', collect));
}

async function byHand(url: string): Promise<Way> {
  const connections = await Connections.open(url);
  const { consumer } = connections;
  return {
    subscribe: async (pattern, handler) => {
      const { queue } = await consumer.assertQueue('', { exclusive: true, durable: false });
      await consumer.bindQueue(queue, EXCHANGE, pattern);
      await consumer.consume(queue, (message) => void handler(JSON.parse(message!.content.toString())), {
        noAck: true,
      });
    },
    publish: (topic) =>
      connections.publish(topic, Buffer.from(JSON.stringify(DATA)), {
        deliveryMode: 2,
        contentType: 'application/json',
      }),
    close: () => connections.close(),
  };
}
