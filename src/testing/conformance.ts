import assert from 'node:assert/strict';
import type { ConnectOptions, Session } from '../backend.js';
import { systemClock, type Environment } from '../model/clock.js';
import type { Envelope } from '../model/message.js';
import { Payload } from '../model/payload.js';
import type { ConformanceCase } from './cases/case.js';
import { conformanceCases } from './cases/index.js';
import type { Lab } from './cases/lab.js';
import { Member } from './cases/member.js';
import { SessionRecord, type Received } from './cases/records.js';

export { conformanceCases } from './cases/index.js';
export type { ConformanceCase } from './cases/case.js';
export type { Lab } from './cases/lab.js';

/** What a backend brings to the suite: one for each case, made by `openBench`. */
export interface Bench {
  /** `Backend.name`. */
  readonly name: string;
  readonly environment: Environment;
  readonly ownerTimeoutMs: number;
  /** How long a case waits for something before it fails. */
  readonly patienceMs: number;
  connect(options: ConnectOptions): Promise<Connected>;
  /** Lets this much of the environment's time pass; the broker's as well, if that is another. */
  elapse(ms: number): Promise<void>;
  /** What the broker still holds of the namespaces of this bench, after all of it should be gone. */
  leftovers(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface Connected {
  readonly session: Session;
  /** Cuts the connection, as the death of its process would. */
  readonly crash: () => Promise<void>;
}

/** `test(name, run)` of any test runner; with a reason, the case is to be shown as skipped. */
export type Register = (name: string, run: () => Promise<void>, skipReason?: string) => void;

/**
 * Registers every conformance case with a test runner. It connects once before that, to learn what the backend says it
 * can do: cases for capabilities that it lacks are registered with the reason why they are skipped.
 */
export async function runConformance(openBench: () => Promise<Bench>, register: Register): Promise<void> {
  const capabilities = await withLab(openBench, async (lab) => lab.capabilities);
  for (const item of conformanceCases) {
    const skipReason = item.needs?.(capabilities);
    register(`${item.area}: ${item.name}`, () => runCase(item, openBench), skipReason);
  }
}

/** Runs one case in a lab of its own. Rejects if the backend does not do it, or leaves something behind. */
export function runCase(item: ConformanceCase, openBench: () => Promise<Bench>): Promise<void> {
  return withLab(openBench, (lab) => item.run(lab));
}

async function withLab<T>(openBench: () => Promise<Bench>, run: (lab: BenchLab) => Promise<T>): Promise<T> {
  const bench = await openBench();
  try {
    const lab = await BenchLab.open(bench);
    let result;
    try {
      result = await run(lab);
    } finally {
      await lab.close();
    }
    assert.deepEqual(await bench.leftovers(), [], 'something was left at the broker');
    return result;
  } finally {
    await bench.close();
  }
}

class BenchLab implements Lab {
  readonly environment: Environment;
  readonly envelope: Lab['envelope'];
  readonly #bench: Bench;
  readonly #namespace: string;
  readonly #members: Member[] = [];
  readonly #namespaces = new Set<string>();
  #janitor!: Session;
  #names = 0;

  private constructor(bench: Bench) {
    this.#bench = bench;
    this.environment = bench.environment;
    this.#namespace = `conformance-${this.environment.randomId()}`;
    this.envelope = this.producer();
  }

  static async open(bench: Bench): Promise<BenchLab> {
    const lab = new BenchLab(bench);
    const { session } = await lab.connect('janitor');
    lab.#janitor = session;
    return lab;
  }

  get capabilities() {
    return this.#janitor.capabilities;
  }

  get backendName(): string {
    return this.#bench.name;
  }

  async connect(
    master: string,
    options: Partial<Pick<ConnectOptions, 'namespace' | 'incarnation' | 'signal'>> = {},
  ): Promise<Member> {
    const { namespace = this.#namespace, incarnation = this.environment.randomId() } = options;
    const { signal = new AbortController().signal } = options;
    const { environment, ownerTimeoutMs } = this.#bench;
    const sink = new SessionRecord();
    this.#namespaces.add(namespace);
    const { session, crash } = await this.#bench.connect({
      namespace,
      master,
      incarnation,
      ownerTimeoutMs,
      environment,
      signal,
      sink,
    });
    const member = new Member(this, master, session, sink, async () => {
      await crash();
      await session.closed;
    });
    this.#members.push(member);
    return member;
  }

  unique(name: string): string {
    return `${name}-${++this.#names}`;
  }

  producer(): Lab['envelope'] {
    const producer = this.environment.randomId();
    let sequence = 0;
    return (topic, data, overrides = {}) => {
      sequence++;
      const envelope: Envelope = {
        id: `${producer}-${sequence}`,
        topic,
        time: this.environment.clock.wall(),
        source: `signalbox:${this.#namespace}/${producer}`,
        headers: {},
        payload: Payload.of(data, { maxBytes: 10_000_000 }),
        origin: { producer, sequence, open: [[1, Infinity]] },
        resent: false,
        fence: undefined,
      };
      return { ...envelope, ...overrides };
    };
  }

  async eventually(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const deadline = systemClock.now() + this.#bench.patienceMs;
    for (let looks = 0; !(await condition()); looks++) {
      if (systemClock.now() > deadline)
        assert.fail(`Waited ${this.#bench.patienceMs} ms, and it is not so: ${what}.`);
      await new Promise<void>((resolve) => {
        if (looks < 20) setImmediate(resolve);
        else systemClock.setTimeout(resolve, 5);
      });
    }
  }

  async gets(received: Received, data: readonly unknown[]): Promise<void> {
    // What did not come shows better in a comparison than in a deadline.
    await this.eventually(() => received.data.length >= data.length, 'everything came').catch(() => {});
    assert.deepEqual(received.data.slice(0, Math.max(data.length, 1)), data);
  }

  elapse(ms: number): Promise<void> {
    return this.#bench.elapse(ms);
  }

  /** Ends all sessions and deletes all queues, whatever state the case has left them in. */
  async close(): Promise<void> {
    for (const { session } of this.#members) if (session !== this.#janitor) await session.close();
    for (const namespace of this.#namespaces) {
      const janitor =
        namespace === this.#namespace
          ? this.#janitor
          : (await this.connect('janitor', { namespace })).session;
      for (const { name } of await janitor.queues()) await janitor.deleteQueue(name, { whileInUse: true });
      assert.deepEqual(await janitor.queues(), [], 'deleted queues are still listed');
      if (janitor !== this.#janitor) await janitor.close();
    }
    await this.#janitor.close();
  }
}
