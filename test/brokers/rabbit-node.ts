import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { end } from './ending.js';
import { freePort } from './free-port.js';

const START_TIMEOUT_MS = 60_000;

export interface NodePlan {
  /** Lines of rabbitmq.conf. */
  readonly settings?: readonly string[];
  /** Of the Erlang program. */
  readonly flags?: readonly string[];
  /** Joins the cluster of that one, which must run, and end last. */
  readonly beside?: RabbitNode;
}

/** A RabbitMQ of our own: on free ports of the loopback, in a folder of its own, ended by its process id. */
export class RabbitNode {
  readonly #server: string;
  readonly #folder: string;
  readonly #portMapper: ChildProcess | undefined;
  readonly #environment: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;

  private constructor(
    server: string,
    folder: string,
    portMapper: ChildProcess | undefined,
    environment: NodeJS.ProcessEnv,
    readonly port: number,
  ) {
    this.#server = server;
    this.#folder = folder;
    this.#portMapper = portMapper;
    this.#environment = environment;
  }

  /** `server` is the real program, not the wrapper that changes the user. */
  static async start(server: string, plan: NodePlan = {}): Promise<RabbitNode> {
    const { settings = [], flags = [], beside } = plan;
    const folder = mkdtempSync(join(process.env['SIGNALBOX_TEST_RABBITMQ_FOLDER'] ?? tmpdir(), 'sb-rabbit-'));
    const [port, distribution] = [await freePort(), await freePort()];
    const mapper = beside ? Number(beside.#environment['ERL_EPMD_PORT']) : await freePort();
    const name = `sb${port}@localhost`;
    const cluster = beside && [
      'cluster_formation.peer_discovery_backend = classic_config',
      `cluster_formation.classic_config.nodes.1 = ${beside.name}`,
      `cluster_formation.classic_config.nodes.2 = ${name}`,
    ];
    for (const name of ['data', 'log']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'plugins'), '[].\n');
    writeFileSync(
      join(folder, 'rabbitmq.conf'),
      [
        'loopback_users.guest = true',
        'disk_free_limit.absolute = 1MB',
        'log.console.level = error',
        ...(cluster ?? []),
        ...settings,
        '',
      ].join('\n'),
    );
    const loopback = `-kernel inet_dist_use_interface {127,0,0,1}`;
    const environment: NodeJS.ProcessEnv = {
      PATH: process.env['PATH'],
      // The cookie is there: who shares it is let in.
      HOME: beside ? beside.#environment['HOME'] : folder,
      LANG: 'C.UTF-8',
      ERL_EPMD_PORT: String(mapper),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_NODENAME: name,
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_MNESIA_BASE: join(folder, 'data'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_LOGS: '-',
      // Without a shell between us and the broker; it ends by itself when we are gone and our end of the pipe with us.
      RABBITMQ_ALLOW_INPUT: 'true',
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: ['+S 1:1 +sbwt none', loopback, ...flags].join(' '),
    };
    // Started by the node itself it would outlive it.
    const portMapper = beside
      ? undefined
      : spawn('epmd', ['-port', String(mapper), '-address', '127.0.0.1'], {
          env: environment,
          stdio: 'ignore',
        });
    portMapper?.on('error', () => {});
    const node = new RabbitNode(server, folder, portMapper, environment, port);
    try {
      await node.run();
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }

  /** As its cluster knows it. */
  get name(): string {
    return this.#environment['RABBITMQ_NODENAME']!;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Starts the program over what its folder holds. */
  async run(): Promise<void> {
    const child = spawn(this.#server, [], { env: this.#environment, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      const fail = (what: string) => reject(new Error(`RabbitMQ ${what}. It said:\n${said.slice(-3_000)}`));
      const timer = setTimeout(() => fail(`did not start within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
      const listen = (chunk: Buffer) => {
        said += chunk.toString();
        if (!/completed with \d+ plugins|Server startup complete/.test(said)) return;
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
    // Its pipes must not fill.
    child.stdout.resume();
    child.stderr.resume();
  }

  /** At once, as a power cut of this process would. */
  async kill(): Promise<void> {
    await end(this.#child, 'SIGKILL');
  }

  /** `rabbitmqctl`: takes a second or two. */
  control(...words: readonly string[]): Promise<string> {
    const program = join(dirname(this.#server), 'rabbitmqctl');
    const args = ['-n', this.name, '--silent', ...words];
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, { env: this.#environment, stdio: ['ignore', 'pipe', 'pipe'] });
      let said = '';
      let complained = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (complained += chunk.toString()));
      child.once('error', reject);
      child.once('close', (code) =>
        code === 0
          ? resolve(said)
          : reject(new Error(`rabbitmqctl ${words.join(' ')}: ${complained || said}`)),
      );
    });
  }

  async close(): Promise<void> {
    await end(this.#child, 'SIGTERM');
    await end(this.#portMapper, 'SIGTERM');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
