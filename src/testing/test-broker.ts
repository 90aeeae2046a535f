import type { Backend, Capabilities, ConnectOptions, Session } from '../backend.js';
import { memoryBackend, sharedMemoryBackend } from '../backends/memory/index.js';
import type { Environment } from '../model/clock.js';
import { checkName } from '../model/names.js';
import { Faults } from './faults.js';
import { Line } from './line.js';
import { Records, type DeadLettered, type Handled, type Published } from './records.js';
import { Station } from './station.js';
import { createTestClock, passTime, passTimeUntil, type PassOptions, type TestClock } from './test-clock.js';
import { seededChance } from './virtual-clock.js';

export interface TestBrokerOptions {
  /** The hub of `memory:NAME`, shared by this process. Without a name it is the broker's own. */
  readonly name?: string;
  /** Of chance and ids: the same seed gives the same run. Default 1. */
  readonly seed?: number;
  /** `virtual` (the default): moves when the test says so. `real`: passes by itself. */
  readonly time?: 'virtual' | 'real';
  /** What this broker is to be without: whoever asks for it gets an UnsupportedError. */
  readonly lacks?: readonly ('queueLimit' | 'queueExpiry' | 'exactHandBack')[];
}

/** A `memory:` broker in the hands of a test. */
export function createTestBroker(options: TestBrokerOptions = {}): TestBroker {
  return new TestBroker(options);
}

/**
 * A `memory:` broker that a test looks into, whose time it moves, and on which things go wrong as it says. It is a
 * Backend: `createMaster({ broker, environment: broker.environment })` takes it as well as `createTestMaster({ broker })`.
 */
export class TestBroker implements Backend {
  readonly name: string;
  readonly clock: TestClock;
  /** For masters that share its time. */
  readonly environment: Environment;
  readonly #hubs: Backend;
  readonly #records = new Records();
  readonly #lines = new Map<string, Line>();
  readonly #stations: Station[] = [];
  readonly #lacks: Partial<Capabilities>;

  constructor({ name, seed = 1, time = 'virtual', lacks = [] }: TestBrokerOptions = {}) {
    this.#hubs = name === undefined ? memoryBackend() : sharedMemoryBackend(checkName('namespace', name));
    this.name = this.#hubs.name;
    this.clock = createTestClock(time);
    this.environment = { clock: this.clock, ...seededChance(seed) };
    this.#lacks = Object.fromEntries(lacks.map((capability) => [capability, false]));
  }

  /** What the broker has taken, in its order; a copy that was sent again is there again. */
  get published(): readonly Published[] {
    return this.#records.published;
  }

  /** What handlers have done and their masters have acked; of transient subscribers, those of test masters. */
  get handled(): readonly Handled[] {
    return this.#records.handled;
  }

  get deadLettered(): readonly DeadLettered[] {
    return this.#records.deadLettered;
  }

  connect(options: ConnectOptions): Promise<Session> {
    return this.#lineOf(options.master, options.namespace).connect(options, this.#hubs);
  }

  /** What goes wrong between this master, which need not be there yet, and the broker. */
  faultsOf(master: string, namespace = 'signalbox'): Faults {
    return new Faults(this.#lineOf(master, namespace));
  }

  /**
   * Lets time pass until all that was published is done with: nothing is under way or spooled, no handler runs, and every queue
   * that is consumed is empty, retries included. What waits in a queue that nobody consumes stays there. While a handler runs and
   * waits for nothing of the broker's, time stands still: it may be about something real.
   *
   * DeadlineError after `timeoutMs` (ten minutes), or when time stands still for `patienceMs`; its text says what is not
   * done.
   */
  async idle({ timeoutMs = 600_000, ...rest }: PassOptions = {}): Promise<void> {
    let left: string[] = [];
    await passTime(this.clock, {
      ...rest,
      timeoutMs,
      isOver: async () => (left = await this.#unrest()).length === 0,
      isSlow: () => this.#spooled().length > 0,
      standsStill: () => this.#running().length > 0 && !this.#waitForBroker(),
      what: () => left.join('; '),
    });
  }

  /** Lets time pass until a promise has settled, and settles as it does. DeadlineError after an hour of the broker's time. */
  until<T>(promise: Promise<T>, options: PassOptions = {}): Promise<T> {
    return passTimeUntil(this.clock, promise, { ...options, isSlow: () => this.#spooled().length > 0 });
  }

  /** What `createTestMaster` builds on. Default name: `master-1`, `master-2` … */
  station(name: string | undefined, namespace: string): Station {
    const master = name ?? `master-${this.#stations.length + 1}`;
    const line = this.#lineOf(master, namespace);
    const station = new Station(master, line, this.environment, (record) =>
      this.#records.handled.push(record),
    );
    this.#stations.push(station);
    return station;
  }

  #lineOf(master: string, namespace: string): Line {
    const key = `${namespace}/${master}`;
    let line = this.#lines.get(key);
    if (!line) {
      line = new Line({
        namespace,
        master,
        environment: this.environment,
        records: this.#records,
        lacks: this.#lacks,
      });
      this.#lines.set(key, line);
    }
    return line;
  }

  async #unrest(): Promise<string[]> {
    const queues = new Map<string, string>();
    for (const line of this.#lines.values())
      for (const { name, depth, state } of await line.look()) {
        const left = depth - this.#lostAcksOf(name, line.namespace);
        if (state === 'active' && left > 0) queues.set(name, `queue "${name}" holds ${left}`);
      }
    const running = this.#running().map(({ message, queue }) => {
      const whose = queue === undefined ? 'a subscriber' : `queue "${queue}"`;
      return `the handler of ${whose} runs with message ${message.id} (${message.topic})`;
    });
    return [...this.#linesAtUnrest(), ...this.#spooled(), ...running, ...queues.values()];
  }

  /** What handlers have done is done, whether the broker knows it or not. */
  #lostAcksOf(queue: string, namespace: string): number {
    const lines = [...this.#lines.values()].filter((line) => line.namespace === namespace);
    return lines.reduce((sum, line) => sum + line.lostAcksOf(queue), 0);
  }

  #linesAtUnrest(): string[] {
    return [...this.#lines.values()].flatMap(({ unrest }) => unrest ?? []);
  }

  /** A spool is on a real disk. */
  #spooled(): string[] {
    const full = this.#stations.filter(({ spooled }) => spooled > 0);
    return full.map(({ name, spooled }) => `the spool of "${name}" holds ${spooled}`);
  }

  #waitForBroker(): boolean {
    return [...this.#lines.values()].some(({ unrest, isForgotten }) => unrest !== undefined || isForgotten);
  }

  #running() {
    return this.#stations.flatMap(({ running }) => running);
  }
}
