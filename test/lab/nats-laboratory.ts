import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { onTestFinished } from 'vitest';
import { Names } from '../../src/backends/jetstream/names.js';
import { NatsNode, type NatsPlan } from '../brokers/nats-node.js';
import { natsServer } from '../brokers/nats-server.js';
import { BrokerLaboratory } from './broker-laboratory.js';
import type { LabMaster } from './lab-master.js';
import type { MasterPlan } from './laboratory.js';

/** An owner that is silent for longer is taken for frozen. */
const OWNER_TIMEOUT_MS = 2_000;

/** Where the server is, and where it tells of itself, if it does. */
interface Place {
  readonly url: string;
  readonly monitor?: string;
}

/** A laboratory at a NATS, and what people with the broker's tools do to it. */
export class NatsLaboratory extends BrokerLaboratory {
  readonly names: Names;
  readonly #places: readonly Place[];

  private constructor(
    places: readonly Place[],
    private readonly isShared: boolean,
  ) {
    super(places[0]!.url, OWNER_TIMEOUT_MS);
    this.names = new Names(this.namespace);
    this.#places = places;
    onTestFinished(() => this.close(), 30_000);
  }

  /** At the server of the whole run: whatever a test does may only reach its own namespace. Ends with the test. */
  static at(place: Place): NatsLaboratory {
    return new NatsLaboratory([place], true);
  }

  /** With a server of its own, to kill or to press. Ends with the test. */
  static async withNode(plan: NatsPlan = {}): Promise<{ lab: NatsLaboratory; node: NatsNode }> {
    const node = await NatsNode.start(program(), plan);
    onTestFinished(() => node.close(), 30_000);
    return { lab: new NatsLaboratory([node], false), node };
  }

  /** With three servers of its own that keep copies. Ends with the test. */
  static async withCluster(): Promise<{ lab: NatsLaboratory; nodes: readonly NatsNode[] }> {
    const nodes = await NatsNode.cluster(program());
    for (const node of nodes) onTestFinished(() => node.close(), 30_000);
    return { lab: new NatsLaboratory(nodes, false), nodes };
  }

  /** Masters that keep three copies of everything; each begins at another server. */
  async spread(names: readonly string[], plan: MasterPlan = {}): Promise<LabMaster[]> {
    const urls = this.#places.map(({ url }) => url);
    return Promise.all(
      names.map((name, number) => {
        const from = number % urls.length;
        const broker = [...urls.slice(from), ...urls.slice(0, from)];
        return this.master(name, { broker, replicas: 3, ...plan });
      }),
    );
  }

  /** The server that leads the stream of messages. */
  async leader(nodes: readonly NatsNode[]): Promise<NatsNode> {
    const { cluster } = await this.operate((manager) => manager.streams.info(this.names.events));
    return nodes.find(({ name }) => name === cluster?.leader)!;
  }

  /** A plain client: what people do to streams and consumers by hand. */
  async operate<T>(work: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    const connection = await connect({ servers: this.#places.map(({ url }) => url) });
    try {
      return await work(await jetstreamManager(connection, { timeout: 30_000 }));
    } finally {
      await connection.close();
    }
  }

  /** Counts what is said to these subjects; ends with the test. */
  async listen(subject: string): Promise<{ heard(): number }> {
    const connection = await connect({ servers: this.url });
    onTestFinished(() => connection.close());
    const subscription = connection.subscribe(subject, { callback: () => {} });
    await connection.flush();
    return { heard: () => subscription.getReceived() };
  }

  /** How many subscriptions the server has of that master. */
  async subscriptions(master: string): Promise<number> {
    const connections = await this.#connections();
    const found = connections.filter(({ name }) => name?.startsWith(`${this.namespace}/${master}/`));
    return found.reduce((sum, { subscriptions }) => sum + subscriptions, 0);
  }

  /** The consumers that the server has for this namespace. */
  consumers(): Promise<string[]> {
    return this.operate(async (manager) => {
      const found: string[] = [];
      for await (const { config } of manager.streams.list())
        if (this.#isOurs(config.name))
          for await (const { name } of manager.consumers.list(config.name)) found.push(name);
      return found;
    });
  }

  /** From a server that others use the namespace is gone then, also when the test has failed. */
  override async close(): Promise<void> {
    await super.close();
    if (!this.isShared) return;
    await this.operate(async (manager) => {
      for await (const { config } of manager.streams.list())
        if (this.#isOurs(config.name)) await manager.streams.delete(config.name);
    });
  }

  protected override async left(): Promise<string[]> {
    const subjects = await this.operate(async (manager) => {
      const found: string[] = [];
      for await (const { config } of manager.streams.list()) {
        if (!this.#isOurs(config.name)) continue;
        const { state } = await manager.streams.info(config.name, { subjects_filter: '>' });
        found.push(...Object.keys(state.subjects ?? {}));
      }
      return found;
    });
    const connections = (await this.#connections()).map(({ name }) => `connection ${name}`);
    const records = subjects.filter((subject) => !this.#isOfTheDead(subject));
    return [...records, ...(await this.consumers()), ...connections];
  }

  /** Whether it is the name of a master that could not give it back: killed, or without a server at its end. */
  #isOfTheDead(subject: string): boolean {
    const ours = this.of('said').filter(({ master }) => subject === this.names.master(master));
    const states = ours.flatMap(({ event, detail }) => (event === 'session' ? [detail['state']] : []));
    const before = states.indexOf('stopping') - 1;
    const wasConnected = before === -1 || states[before] === 'connected';
    return ours.length > 0 && !(states.includes('stopped') && wasConnected);
  }

  /** Of this namespace, as far as the servers tell. */
  async #connections(): Promise<ConnectionInfo[]> {
    const monitors = this.#places.flatMap(({ monitor }) => monitor ?? []);
    const found = await Promise.all(monitors.map((monitor) => connectionsAt(monitor)));
    return found.flat().filter(({ name }) => name?.includes(this.namespace));
  }

  #isOurs(stream: string): boolean {
    const { events, records, letters } = this.names;
    return [events, records, letters].includes(stream);
  }
}

function program(): string {
  const server = natsServer();
  if (server.missing !== undefined) throw new Error(`This needs a server of its own. ${server.missing}`);
  return server.program;
}

interface ConnectionInfo {
  readonly name?: string;
  readonly subscriptions: number;
}

async function connectionsAt(monitor: string): Promise<ConnectionInfo[]> {
  const answer = await fetch(`${monitor}/connz?limit=10000`, { signal: AbortSignal.timeout(10_000) });
  return ((await answer.json()) as { connections: ConnectionInfo[] }).connections;
}
