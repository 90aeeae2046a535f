import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../eventually.js';
import { end } from './ending.js';
import { freePort } from './free-port.js';
import { freeze } from './freezing.js';

const START_TIMEOUT_MS = 30_000;

export interface NatsPlan {
  /** Lines of nats-server.conf, beside those that say where the server is. */
  readonly settings?: readonly string[];
}

interface Ports {
  readonly clients: number;
  readonly monitoring: number;
  readonly routes: number;
}

/** A nats-server with JetStream of our own: on free ports of the loopback, in a folder of its own, ended by its process id. */
export class NatsNode {
  /** Holds its settings, and all that it stores. */
  readonly folder = mkdtempSync(join(tmpdir(), 'sb-nats-'));
  readonly #server: string;
  readonly #ports: Ports;
  readonly #routes: readonly number[];
  #child: ChildProcess | undefined;

  private constructor(server: string, ports: Ports, routes: readonly number[], plan: NatsPlan) {
    this.#server = server;
    this.#ports = ports;
    this.#routes = routes;
    this.#write(plan);
  }

  static async start(server: string, plan: NatsPlan = {}): Promise<NatsNode> {
    const node = new NatsNode(server, await freePorts(), [], plan);
    await startAll([node]);
    return node;
  }

  /** Several that keep copies of what is theirs; resolves when they have agreed on who leads. */
  static async cluster(server: string, size = 3): Promise<NatsNode[]> {
    const ports: Ports[] = [];
    for (let number = 0; number < size; number++) ports.push(await freePorts());
    const routes = ports.map((one) => one.routes);
    const nodes = ports.map((one) => new NatsNode(server, one, routes, {}));
    await startAll(nodes);
    try {
      await eventually('the servers are one cluster', () => agree(nodes), START_TIMEOUT_MS);
    } catch (error) {
      await Promise.all(nodes.map((node) => node.close()));
      throw error;
    }
    return nodes;
  }

  get port(): number {
    return this.#ports.clients;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Where it tells of itself by HTTP. */
  get monitor(): string {
    return `http://127.0.0.1:${this.#ports.monitoring}`;
  }

  /** As its cluster knows it. */
  get name(): string {
    return `sb${this.port}`;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Starts the program over what its folder holds. */
  async run(): Promise<void> {
    const child = spawn(this.#server, ['-c', this.#configuration], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      const fail = (what: string) =>
        reject(new Error(`nats-server ${what}. It said:\n${said.slice(-3_000)}`));
      const timer = setTimeout(() => fail(`did not start within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
      const listen = (chunk: Buffer) => {
        said += chunk.toString();
        if (!said.includes('Server is ready')) return;
        clearTimeout(timer);
        resolve();
      };
      child.stdout.on('data', listen);
      child.stderr.on('data', listen);
      child.once('error', (error) => fail(`could not be run (${error.message})`));
      child.once('exit', (code, signal) => {
        clearTimeout(timer);
        fail(`ended (${signal ?? code})`);
      });
    });
    for (const pipe of [child.stdout, child.stderr]) {
      pipe.removeAllListeners('data');
      // It must not fill.
      pipe.resume();
    }
    keep(child);
  }

  /** At once, as a power cut of this process would. */
  async kill(): Promise<void> {
    await end(this.#child, 'SIGKILL');
  }

  /** It holds its connections, and says nothing. */
  freeze(): Promise<void> {
    return freeze(this.#child!);
  }

  thaw(): void {
    this.#child!.kill('SIGCONT');
  }

  /** Other settings for the running server. It says no word when it has taken them: wait for what they change. */
  reload(plan: NatsPlan): void {
    this.#write(plan);
    this.#child!.kill('SIGHUP');
  }

  /** What it tells of itself, as its documentation names it: `/jsz`, `/connz`. */
  async ask<T>(path: string): Promise<T> {
    const answer = await fetch(this.monitor + path, { signal: AbortSignal.timeout(10_000) });
    return (await answer.json()) as T;
  }

  async close(): Promise<void> {
    this.thaw();
    await end(this.#child, 'SIGTERM');
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #configuration(): string {
    return join(this.folder, 'nats-server.conf');
  }

  #write({ settings = [] }: NatsPlan): void {
    const { clients, monitoring, routes } = this.#ports;
    const others = this.#routes.map((port) => `"nats://127.0.0.1:${port}"`).join(', ');
    const lines = [
      `server_name: ${this.name}`,
      `listen: "127.0.0.1:${clients}"`,
      `http: "127.0.0.1:${monitoring}"`,
      `jetstream { store_dir: "${this.folder}" }`,
      ...(others ? [`cluster { name: signalbox, listen: "127.0.0.1:${routes}", routes: [${others}] }`] : []),
      ...settings,
      '',
    ];
    writeFileSync(this.#configuration, lines.join('\n'));
  }
}

/** Without us it would run on: a shell that waits for the end of our pipe ends it then. */
function keep(child: ChildProcess): void {
  const keeper = spawn('/bin/sh', ['-c', 'read -r line || kill -KILL "$0"', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Its number may soon be somebody else's.
  child.once('exit', () => keeper.kill('SIGKILL'));
}

async function freePorts(): Promise<Ports> {
  return { clients: await freePort(), monitoring: await freePort(), routes: await freePort() };
}

async function startAll(nodes: readonly NatsNode[]): Promise<void> {
  const started = await Promise.allSettled(nodes.map((node) => node.run()));
  const failure = started.find(({ status }) => status === 'rejected');
  if (!failure) return;
  await Promise.all(nodes.map((node) => node.close()));
  throw (failure as PromiseRejectedResult).reason;
}

/** Whether one of them leads, and knows all others to be up to date. */
async function agree(nodes: readonly NatsNode[]): Promise<boolean> {
  const told = await Promise.all(
    nodes.map((node) => node.ask<{ meta_cluster?: { replicas?: { current: boolean }[] } }>('/jsz')),
  );
  return told.some(({ meta_cluster }) => {
    const followers = meta_cluster?.replicas ?? [];
    return followers.filter(({ current }) => current).length === nodes.length - 1;
  });
}
