import { connect } from 'amqp-connection-manager';
import type { Channel, ConsumeMessage } from 'amqplib';
import rascal from 'rascal';
import { Connection } from 'rabbitmq-client';
import { PREFETCH, type Contender, type Running } from '../contender.js';
import { EXCHANGE } from './connections.js';

const TOPIC = 'bench.durable';

/** Other libraries, each as its own documentation writes it: confirmed, persistent, JSON, acked one by one. */
export const peers: readonly Contender[] = [
  {
    name: 'amqp-connection-manager',
    async open(url) {
      const queue = 'bench.amqp-connection-manager';
      const connection = connect([url]);
      const channel = connection.createChannel({
        json: true,
        confirm: true,
        setup: async (raw: Channel) => {
          await raw.assertExchange(EXCHANGE, 'topic', { durable: true });
          await raw.assertQueue(queue, { durable: true });
          await raw.bindQueue(queue, EXCHANGE, TOPIC);
        },
      });
      const running: Running = {
        publish: (data) => channel.publish(EXCHANGE, TOPIC, data, { persistent: true }),
        handled: () => {},
        close: async () => {
          await channel.cancelAll();
          await channel.deleteQueue(queue);
          await connection.close();
        },
      };
      await channel.consume(
        queue,
        (message: ConsumeMessage | null) => {
          if (!message) return;
          JSON.parse(message.content.toString());
          running.handled();
          channel.ack(message);
        },
        { prefetch: PREFETCH },
      );
      await channel.waitForConnect();
      return running;
    },
  },
  {
    name: 'rabbitmq-client',
    async open(url) {
      const queue = 'bench.rabbitmq-client';
      const connection = new Connection(url);
      const exchanges = [{ exchange: EXCHANGE, type: 'topic', durable: true }];
      const publisher = connection.createPublisher({ confirm: true, exchanges });
      const running: Running = {
        publish: (data) => publisher.send({ exchange: EXCHANGE, routingKey: TOPIC, durable: true }, data),
        handled: () => {},
        close: async () => {
          await consumer.close();
          await publisher.close();
          await connection.queueDelete({ queue });
          await connection.close();
        },
      };
      const consumer = connection.createConsumer(
        {
          queue,
          queueOptions: { durable: true },
          qos: { prefetchCount: PREFETCH },
          exchanges,
          queueBindings: [{ exchange: EXCHANGE, routingKey: TOPIC }],
        },
        async () => running.handled(),
      );
      await new Promise((resolve) => consumer.once('ready', resolve));
      return running;
    },
  },
  {
    name: 'rascal',
    async open(url) {
      const queue = 'bench.rascal';
      const broker = await rascal.BrokerAsPromised.create({
        vhosts: {
          '/': {
            connection: { url },
            exchanges: { [EXCHANGE]: { type: 'topic' } },
            queues: { [queue]: {} },
            bindings: [`${EXCHANGE}[${TOPIC}] -> ${queue}`],
            publications: { out: { exchange: EXCHANGE, routingKey: TOPIC, confirm: true } },
            subscriptions: { in: { queue, prefetch: PREFETCH } },
          },
        },
      });
      const running: Running = {
        publish: async (data) => {
          const publication = await broker.publish('out', data);
          await new Promise((resolve, reject) => publication.on('success', resolve).on('error', reject));
        },
        handled: () => {},
        close: async () => {
          await broker.nuke();
        },
      };
      const subscription = await broker.subscribe('in');
      subscription.on('message', (_message, _content, ackOrNack) => {
        running.handled();
        ackOrNack();
      });
      return running;
    },
  },
];
