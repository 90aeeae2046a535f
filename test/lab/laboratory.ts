import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { Ledger, type Verdict } from '../../src/testing/ledger.js';
import { eventually } from '../eventually.js';
import { EvidenceReader, type Evidence } from './evidence.js';
import { HubProcess } from './hub-process.js';
import { LabMaster } from './lab-master.js';
import type { CreatePlan } from './master-program.js';
import { MARK, processesOf } from './processes.js';
import { SocketProxy } from './proxy.js';

export interface LaboratoryOptions {
  /** Of any kind; by default a folder of the laboratory's own. */
  readonly broker?: string;
  /** Of every master, unless its plan says otherwise. */
  readonly ownerTimeoutMs?: number;
  readonly namespace?: string;
}

export type MasterPlan = Partial<CreatePlan> & {
  /** Where its sockets and locks live; another one than that of the laboratory is another TMPDIR. */
  readonly runtime?: string;
};

/**
 * Masters as processes, their broker, and what they testify. Whatever a test does to them, `close` ends all of it and
 * says what was left behind.
 */
export class Laboratory {
  /** What has come to light so far, by master in its order. */
  readonly evidence: Evidence[] = [];
  ledger = new Ledger();
  readonly root = mkdtempSync(join(tmpdir(), 'sb-lab-'));
  readonly broker: string;
  readonly #options: LaboratoryOptions;
  readonly #masters: LabMaster[] = [];
  readonly #readers: EvidenceReader[] = [];
  readonly #proxies: SocketProxy[] = [];
  #files = 0;

  constructor(options: LaboratoryOptions = {}) {
    this.#options = options;
    this.broker = options.broker ?? `file:${this.folder}`;
    mkdirSync(this.runtime());
  }

  /** Of the broker `file:`. */
  get folder(): string {
    return join(this.root, 'state');
  }

  /** A folder for sockets and locks. */
  runtime(name = 'run'): string {
    return join(this.root, name);
  }

  /** Where `file:` has its sockets and locks in such a folder. */
  places(runtime = this.runtime()): string {
    return join(runtime, `signalbox-${userInfo().uid}`);
  }

  /** A program that waits for its first command. */
  async program(name: string, runtime = this.runtime()): Promise<LabMaster> {
    mkdirSync(runtime, { recursive: true });
    const env = { ...process.env, [MARK]: this.root, XDG_RUNTIME_DIR: runtime, TMPDIR: runtime };
    const master = await LabMaster.start(name, { testimony: this.#testimony(name), env, cwd: this.root });
    this.#masters.push(master);
    return master;
  }

  /** A master that is ready. */
  async master(name: string, plan: MasterPlan = {}): Promise<LabMaster> {
    const { runtime, ...options } = plan;
    const master = await this.program(name, runtime);
    await master.call('create', { ...this.plan(name), ...options });
    return master;
  }

  /** Several at a time. */
  masters(...names: readonly string[]): Promise<LabMaster[]> {
    return Promise.all(names.map((name) => this.master(name)));
  }

  plan(name: string): CreatePlan {
    const { ownerTimeoutMs = 800, namespace } = this.#options;
    return { name, broker: this.broker, ownerTimeoutMs, ...(namespace && { namespace }) };
  }

  /** A master whose connections pass a proxy. The hub must run: it is not started from there. */
  async masterBehindProxy(
    name: string,
    plan: MasterPlan = {},
  ): Promise<{ master: LabMaster; proxy: SocketProxy }> {
    const runtime = this.runtime(`run-${name}`);
    const { socket } = (await this.hub()).record;
    mkdirSync(this.places(runtime), { recursive: true, mode: 0o700 });
    const proxy = await this.proxy(join(this.places(runtime), basename(socket)), socket);
    return { master: await this.master(name, { ...plan, runtime }), proxy };
  }

  async proxy(at: string | number, to: string | number): Promise<SocketProxy> {
    const proxy = await SocketProxy.listen({ at, to });
    this.#proxies.push(proxy);
    return proxy;
  }

  /** The hub of the moment; waits until there is one. */
  async hub(): Promise<HubProcess> {
    let hub: HubProcess | undefined;
    await eventually('a hub runs', async () => (hub = await HubProcess.find(this.folder)) !== undefined);
    return hub!;
  }

  /** The hub that comes after that one. */
  async nextHub(former: HubProcess): Promise<HubProcess> {
    let hub: HubProcess | undefined;
    await eventually('another hub runs', async () => {
      hub = await HubProcess.find(this.folder);
      return hub !== undefined && hub.pid !== former.pid;
    });
    return hub!;
  }

  /** Every living hub of this laboratory, known or not. */
  hubs(): number[] {
    return processesOf(this.root).flatMap(({ pid, isHub }) => (isHub ? [pid] : []));
  }

  /** Takes in what the masters have testified since the last look. */
  look(): readonly Evidence[] {
    const fresh = this.#readers.flatMap((reader) => reader.read());
    for (const evidence of fresh) {
      const { type } = evidence;
      if (type === 'confirmed' || type === 'handled' || type === 'effect') this.ledger.record(evidence);
      // Rare, and worth more than the rest when something has gone wrong.
      else if (type === 'said') this.evidence.push(evidence);
    }
    return fresh;
  }

  /** As `look`, and keeps it to be asked for. */
  of<Type extends Evidence['type']>(type: Type, master?: string): Extract<Evidence, { type: Type }>[] {
    for (const fresh of this.look()) if (fresh.type !== 'said') this.evidence.push(fresh);
    return this.evidence.filter(
      (one): one is Extract<Evidence, { type: Type }> =>
        one.type === type && (master === undefined || ('master' in one && one.master === master)),
    );
  }

  /** Waits until everything that is owed was handled; gives up when for so long nothing of it was. */
  async settled(patienceMs = 20_000): Promise<void> {
    let owed = Infinity;
    let until = Infinity;
    for (;;) {
      this.of('handled');
      const { outstanding } = this.ledger;
      if (outstanding === 0) return;
      if (outstanding !== owed) until = performance.now() + patienceMs;
      owed = outstanding;
      if (performance.now() > until)
        throw new Error(`Nothing goes on for ${patienceMs} ms.\n${this.complaints()}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** What is open, and what masters said last. */
  complaints(): string {
    const said = this.of('said').map(
      ({ at, master, event, detail }) => `${at.toFixed(0)} ${master} ${event} ${JSON.stringify(detail)}`,
    );
    const open = `${this.ledger.outstanding} are owed and were not handled`;
    return [open, ...this.ledger.evidence(5), ...said.slice(-40)].join('\n');
  }

  /** Ends everything that is known, properly where it still can, and counts what is left of all that was ever started. */
  async verdict(): Promise<Verdict> {
    await Promise.all(
      this.#masters
        .filter(({ isAlive }) => isAlive)
        .map((master) => master.stop().catch(() => master.kill())),
    );
    await this.#closeProxies();
    // One may just be starting.
    for (const pid of this.hubs()) kill(pid, 'SIGTERM');
    await eventually('the hubs end when they are asked to', () => this.hubs().length === 0);
    this.of('handled');
    const leftBehind = this.#leftBehind();
    const verdict = this.ledger.judge({ leftBehind: leftBehind.length });
    const unhandled = this.of('said').filter(({ event }) => event === 'unhandled');
    const complaints = [
      ...this.ledger.evidence(),
      ...leftBehind,
      ...unhandled.map(({ master, detail }) => `${master}: ${String(detail['reason'])}`),
    ];
    if (complaints.length > 0) throw new Error(`It is not as promised:\n${complaints.join('\n')}`);
    return verdict;
  }

  /** By force, whatever state a test has left it in. */
  async close(): Promise<void> {
    for (const master of this.#masters) {
      master.thaw();
      await master.kill();
    }
    await this.#closeProxies();
    for (const { pid } of processesOf(this.root)) kill(pid, 'SIGKILL');
    await eventually('all its processes have ended', () => processesOf(this.root).length === 0);
    for (const reader of this.#readers) reader.close();
    rmSync(this.root, { recursive: true });
  }

  /** Where a master testifies from now on; what came before stays. */
  async freshTestimony(master: LabMaster): Promise<void> {
    await master.call('testifyTo', { path: this.#testimony(master.name) });
  }

  #testimony(name: string): string {
    const path = join(this.root, `${name}-${++this.#files}.jsonl`);
    this.#readers.push(new EvidenceReader(path));
    return path;
  }

  async #closeProxies(): Promise<void> {
    await Promise.all(this.#proxies.splice(0).map((proxy) => proxy.close()));
  }

  #leftBehind(): string[] {
    const processes = processesOf(this.root).map(({ pid, isHub }) => `${isHub ? 'hub' : 'process'} ${pid}`);
    const files = readdirSync(this.root, { recursive: true, encoding: 'utf8' }).filter(
      (name) =>
        !/\.jsonl$|\.log$|^state(\/|$)|^run[^/]*$|signalbox-\d+$/.test(name) || /hub\.json/.test(name),
    );
    return [...processes, ...files].map((what) => `${what} was left behind`);
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
