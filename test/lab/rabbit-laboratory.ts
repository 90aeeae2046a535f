import { connect, type ChannelModel } from 'amqplib';
import { onTestFinished } from 'vitest';
import { Names } from '../../src/backends/amqp/names.js';
import { controlRabbit, leftOf } from '../brokers/rabbit.js';
import { RabbitNode, type NodePlan } from '../brokers/rabbit-node.js';
import { rabbitServer } from '../brokers/rabbit-server.js';
import { BrokerLaboratory } from './broker-laboratory.js';

/** Two heartbeats of a second each. */
const OWNER_TIMEOUT_MS = 2_000;

type Control = (...words: readonly string[]) => Promise<string | undefined>;

/** A laboratory at a RabbitMQ, and what people with the broker's tools do to it. */
export class RabbitLaboratory extends BrokerLaboratory {
  readonly names: Names;
  readonly #control: Control;

  private constructor(url: string, control: Control) {
    super(url, OWNER_TIMEOUT_MS);
    this.names = new Names(this.namespace);
    this.#control = control;
  }

  /** At the broker of the whole run: whatever a test does may only reach its own namespace. Ends with the test. */
  static at(url: string): RabbitLaboratory {
    const lab = new RabbitLaboratory(url, controlRabbit);
    onTestFinished(() => lab.close(), 30_000);
    return lab;
  }

  /** With a broker of its own, to kill or to press. Ends with the test. */
  static async withNode(plan: NodePlan = {}): Promise<{ lab: RabbitLaboratory; node: RabbitNode }> {
    const server = rabbitServer();
    if (server.missing !== undefined) throw new Error(`This needs a broker of its own. ${server.missing}`);
    const node = await RabbitNode.start(server.program, plan);
    onTestFinished(() => node.close(), 60_000);
    return { lab: RabbitLaboratory.on(node), node };
  }

  /** At such a broker; whoever started it ends it. */
  static on(node: RabbitNode): RabbitLaboratory {
    const lab = new RabbitLaboratory(node.url, (...words) => node.control(...words));
    onTestFinished(() => lab.close(), 30_000);
    return lab;
  }

  /** A plain client: what people do to exchanges and queues by hand. Ends with the test. */
  async operator(): Promise<ChannelModel> {
    const client = await connect(this.url);
    client.on('error', () => {});
    onTestFinished(() => client.close().catch(() => {}));
    return client;
  }

  protected override async left(): Promise<string[]> {
    const [queues, connections] = await Promise.all([
      this.#control('list_queues', 'name'),
      this.#control('list_connections', 'client_properties'),
    ]);
    // One line each; the name of a connection stands among its properties.
    const names = (connections ?? '').match(new RegExp(`${this.namespace}/[^"]+`, 'g')) ?? [];
    return [...leftOf(this.namespace, queues), ...names];
  }
}
