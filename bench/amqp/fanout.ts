import { connect } from 'amqplib';
import { createMaster } from '../../src/index.js';
import type { RabbitNode } from '../../test/brokers/rabbit-node.js';
import { median, result, type Result } from '../result.js';
import { withRabbit } from './broker.js';
import { EXCHANGE } from './contender.js';

const SUBSCRIBERS = 1_000;
const PATTERNS = 10;
const MESSAGES = 2_000;
const MESSAGES_OF_MANY_QUEUES = 200;
const ROUNDS = 3;
const CROWD = 5_000;
const DATA = { builder: 'linux', line: 'x'.repeat(450) };

type Handler = (data: unknown) => Promise<void>;

/** A way to have very many transient subscribers. */
interface Way {
  subscribe(pattern: string, handler: Handler): Promise<void>;
  publish(topic: string): Promise<unknown>;
  close(): Promise<void>;
}

/** One master with subscribers on few patterns, against a queue for each subscriber on amqplib. */
export async function run(): Promise<Result[]> {
  return withRabbit(async (node) => {
    const ours = { few: [] as Figures[], distinct: [] as Figures[] };
    const theirs: Figures[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      ours.few.push(await measure(() => signalbox(node.url), SUBSCRIBERS, PATTERNS, MESSAGES));
      ours.distinct.push(await measure(() => signalbox(node.url), SUBSCRIBERS, SUBSCRIBERS, MESSAGES));
      theirs.push(await measure(() => byHand(node.url), SUBSCRIBERS, PATTERNS, MESSAGES_OF_MANY_QUEUES));
      // The first round warms up.
      if (round === 0) ours.few.length = ours.distinct.length = theirs.length = 0;
    }
    const middle = (figures: readonly Figures[], key: keyof Figures) =>
      median(figures.map((one) => one[key]));
    const [rate, rateByHand] = [middle(ours.few, 'messages'), middle(theirs, 'messages')];
    const [subscribes, subscribesByHand] = [middle(ours.few, 'subscribes'), middle(theirs, 'subscribes')];
    const distinct = middle(ours.distinct, 'subscribes');
    const memory = await memoryOf(node, () => signalbox(node.url));
    const memoryByHand = await memoryOf(node, () => byHand(node.url));
    return [
      result('messages that 100 of 1,000 match, against a queue for each', rate / rateByHand, 'times', {
        atLeast: 20,
      }),
      result('subscribing, 10 patterns, against a queue for each', subscribes / subscribesByHand, 'times', {
        atLeast: 20,
      }),
      result('subscribing, 1,000 patterns, against a queue for each', distinct / subscribesByHand, 'times', {
        atLeast: 4,
      }),
      result('broker memory of 5,000, against a queue for each', memory / memoryByHand, 'times', {
        atMost: 0.1,
      }),
      result('signalbox: messages', rate, 'messages/s'),
      result('a queue for each: messages', rateByHand, 'messages/s'),
      result('signalbox: subscribing, 10 patterns', subscribes, 'subscribes/s'),
      result('signalbox: subscribing, 1,000 patterns', distinct, 'subscribes/s'),
      result('a queue for each: subscribing', subscribesByHand, 'subscribes/s'),
      result('signalbox: broker memory of 5,000', memory / 1e6, 'MB'),
      result('a queue for each: broker memory of 5,000', memoryByHand / 1e6, 'MB'),
    ];
  });
}

interface Figures {
  readonly subscribes: number;
  readonly messages: number;
}

async function measure(
  open: () => Promise<Way>,
  subscribers: number,
  patterns: number,
  messages: number,
): Promise<Figures> {
  const way = await open();
  try {
    let calls = 0;
    let wanted = Infinity;
    let done = () => {};
    const handler: Handler = async () => {
      await Promise.resolve();
      if (++calls === wanted) done();
    };
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: subscribers }, (_, number) =>
        way.subscribe(`builds.${number % patterns}.*`, handler),
      ),
    );
    const subscribes = subscribers / ((performance.now() - begun) / 1_000);
    wanted = messages * (subscribers / patterns);
    const handled = new Promise<void>((resolve) => (done = resolve));
    const from = performance.now();
    const inFlight: Promise<unknown>[] = [];
    for (let number = 0; number < messages; number++) {
      inFlight.push(way.publish(`builds.${number % patterns}.log`));
      if (inFlight.length >= 100) await inFlight[inFlight.length - 100];
    }
    await handled;
    const rate = messages / ((performance.now() - from) / 1_000);
    await Promise.all(inFlight);
    return { subscribes, messages: rate };
  } finally {
    await way.close();
  }
}

/** Bytes that the broker has more of while so many are subscribed. */
async function memoryOf(node: RabbitNode, open: () => Promise<Way>): Promise<number> {
  const way = await open();
  const before = await memory(node);
  await Promise.all(
    Array.from({ length: CROWD }, (_, number) =>
      way.subscribe(`crowd.${number % PATTERNS}.*`, async () => {}),
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

async function signalbox(broker: string): Promise<Way> {
  const master = await createMaster({ name: 'bench', broker });
  return {
    subscribe: async (pattern, handler) => {
      const options = { mailbox: { limit: 100_000 } };
      await master.subscribe(pattern, options, ({ data }) => handler(data));
    },
    publish: (topic) => master.publish(topic, DATA),
    close: () => master.stop(),
  };
}

async function byHand(url: string): Promise<Way> {
  const [publishing, consuming] = [
    await connect(url, { noDelay: true }),
    await connect(url, { noDelay: true }),
  ];
  const publisher = await publishing.createConfirmChannel();
  const consumer = await consuming.createChannel();
  await publisher.assertExchange(EXCHANGE, 'topic', { durable: true });
  return {
    subscribe: async (pattern, handler) => {
      const { queue } = await consumer.assertQueue('', { exclusive: true, durable: false });
      await consumer.bindQueue(queue, EXCHANGE, pattern);
      await consumer.consume(queue, (message) => void handler(JSON.parse(message!.content.toString())), {
        noAck: true,
      });
    },
    publish: (topic) =>
      new Promise<void>((resolve, reject) =>
        publisher.publish(
          EXCHANGE,
          topic,
          Buffer.from(JSON.stringify(DATA)),
          { deliveryMode: 2, contentType: 'application/json' },
          (error: unknown) => (error ? reject(error) : resolve()),
        ),
      ),
    close: async () => {
      await Promise.all([publishing.close(), consuming.close()]);
    },
  };
}
