import { connect, type ChannelModel } from 'amqplib';
import { randomBytes } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { createMaster } from '../../src/index.js';
import { Names } from '../../src/backends/amqp/names.js';
import type { Verdict } from '../../src/testing/ledger.js';
import { controlRabbit, leftOf } from '../brokers/rabbit.js';
import { RabbitNode, type NodePlan } from '../brokers/rabbit-node.js';
import { rabbitServer } from '../brokers/rabbit-server.js';
import { Laboratory } from './laboratory.js';
import type { SocketProxy } from './proxy.js';

export const QUEUE = 'work';
/** Two heartbeats of a second each. */
export const OWNER_TIMEOUT_MS = 2_000;
export const clean = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };
export const consume = { queue: QUEUE, bindings: ['t.#'], effects: 'effects.work', handlerMs: 1 };
export const publish = { topic: 't.a', producer: 'p', queues: [QUEUE] };

/** A laboratory at a RabbitMQ, in a namespace of its own, and what people with the broker's tools do to it. */
export class RabbitLaboratory extends Laboratory {
  readonly namespace: string;
  readonly url: string;
  readonly names: Names;
  readonly #control: (...words: readonly string[]) => Promise<string | undefined>;

  private constructor(url: string, control: (...words: readonly string[]) => Promise<string | undefined>) {
    const namespace = `faults-${randomBytes(6).toString('hex')}`;
    super({ broker: url, ownerTimeoutMs: OWNER_TIMEOUT_MS, namespace });
    this.namespace = namespace;
    this.url = url;
    this.names = new Names(namespace);
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

  handled(master?: string): number {
    return this.of('handled', master).length;
  }

  said(event: string, master?: string): readonly Readonly<Record<string, unknown>>[] {
    return this.of('said', master).flatMap((one) => (one.event === event ? [one.detail] : []));
  }

  /** A way to the broker that can be disturbed. */
  async detour(): Promise<{ proxy: SocketProxy; url: string }> {
    const proxy = await this.proxy(0, Number(new URL(this.url).port));
    return { proxy, url: this.url.replace(/:\d+$/, `:${proxy.port}`) };
  }

  /** A plain client: what people do to exchanges and queues by hand. Ends with the test. */
  async operator(): Promise<ChannelModel> {
    const client = await connect(this.url);
    client.on('error', () => {});
    onTestFinished(() => client.close().catch(() => {}));
    return client;
  }

  /** Everything has ended well, and with its queues all of the namespace is gone from the broker. */
  async ended(...queues: readonly string[]): Promise<Verdict> {
    const judged = await this.verdict();
    const { namespace, url: broker } = this;
    await using janitor = await createMaster({
      name: 'janitor',
      broker,
      namespace,
      ownerTimeoutMs: OWNER_TIMEOUT_MS,
    });
    for (const queue of queues.length > 0 ? queues : [QUEUE])
      await janitor.deleteQueue(queue, { whileInUse: true });
    await janitor.stop();
    const left = leftOf(namespace, await this.#control('list_queues', 'name'));
    if (left.length > 0) throw new Error(`Left at the broker: ${left.join(', ')}`);
    return judged;
  }
}
