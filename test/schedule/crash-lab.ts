import type { Consumer, ConsumerSink, Delivery, Ownership, Session } from '../../src/backend.js';
import { Tally } from '../../src/flow/tally.js';
import { Turns } from '../../src/flow/turns.js';
import type { Envelope } from '../../src/model/message.js';
import { Payload } from '../../src/model/payload.js';
import type { Statechart } from '../../src/model/statechart.js';
import { decodeSchedule } from '../../src/schedule/checkpoint.js';
import type { Schedule } from '../../src/schedule/schedule.js';
import { SchedulerPump } from '../../src/schedule/scheduler-pump.js';
import type { SchedulerSettings } from '../../src/schedule/scheduler.js';
import type { PumpSettings } from '../../src/flow/pump-ports.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';

const PREFETCH = 3;
const turn = () => new Promise((resolve) => setImmediate(resolve));
const never = () => new Promise<never>(() => {});

interface Kept {
  readonly envelope: Envelope;
  redelivered: boolean;
  state: 'ready' | 'out' | 'acked' | 'rejected';
}

/**
 * A scheduler over a queue that crashes at given points: every step of a save, of an ack and of a publish is one, counted from
 * 1. Its successor finds what the queue then holds.
 */
export class CrashLab {
  readonly environment = virtualEnvironment();
  /** What the broker has taken, in this order. */
  readonly taken: Envelope[] = [];
  readonly reports: string[] = [];
  checkpoint: Uint8Array | undefined;
  points = 0;
  crashes = 0;
  readonly #kept: Kept[] = [];
  readonly #settings: SchedulerSettings & PumpSettings;
  #life = 0;
  #sink: ConsumerSink | undefined;
  #pump!: SchedulerPump;
  #sequence = 0;

  constructor(
    readonly chart: Statechart,
    readonly crashAt: ReadonlySet<number>,
    /** Whether a save and its acks are one step, as with a hub. */
    readonly isAtomic: boolean,
    settings: Partial<SchedulerSettings> = {},
  ) {
    this.#settings = {
      ...{ queue: 'q', chart, input: undefined, version: 1, migrate: undefined, prefetch: PREFETCH },
      ...{ source: 'signalbox:test/m', producerMemoryMs: 86_400_000, clockSkewMs: 1_000 },
      rules: { maxBytes: 100_000, check: () => {} },
      ...{ concurrency: 1, onFailure: 'block' as const, orderBy: undefined },
      retry: { attemptsMax: 3, minDelayMs: 10, maxDelayMs: 20 },
      ...{ handlerTimeoutMs: 60_000, drainTimeoutMs: 10_000 },
      ...settings,
    };
  }

  async start(): Promise<void> {
    const life = ++this.#life;
    const { environment } = this;
    const { clock } = environment;
    const { taken } = this;
    const isAlive = () => this.#life === life;
    // Resolves only for the living, and lets the lab crash here.
    const point = async () => {
      await turn();
      if (!isAlive()) return never();
      if (this.crashAt.has(++this.points)) {
        this.#crash();
        return never();
      }
    };
    const ownership: Ownership = {
      ...{ queue: 'q', queueId: 'queue', epoch: life, checkpoint: this.checkpoint },
      valid: isAlive,
      revalidate: () => (isAlive() ? Promise.resolve() : Promise.reject(new Error('over'))),
      bind: () => Promise.resolve(),
      release: () => Promise.resolve(),
      save: async (checkpoint, settled) => {
        await point();
        this.checkpoint = checkpoint;
        if (this.isAtomic) for (const delivery of settled) delivery.ack();
        else
          for (const delivery of settled) {
            await point();
            delivery.ack();
          }
        await point();
      },
    };
    const session = {
      capabilities: { lingerMs: 0, exactHandBack: true },
      publish: async (envelope: Envelope) => {
        await point();
        taken.push(envelope);
        await point();
      },
      consume: async (_: string, __: unknown, sink: ConsumerSink): Promise<Consumer> => {
        this.#sink = sink;
        this.#deliver();
        return { close: () => Promise.resolve() };
      },
    } as unknown as Session;
    const say = (text: string) => void this.reports.push(text);
    this.#pump = new SchedulerPump(
      this.#settings,
      {
        environment,
        turns: new Turns(clock, (error) => say(`broken ${String(error)}`)),
        tally: new Tally(),
        ...{ master: 'm', catalogue: undefined },
        publish: () => () => Promise.reject(new Error('not here')),
      },
      {
        failed: ({ envelope }, attempt, { message }) => say(`failed ${envelope.id} ${attempt} ${message}`),
        buried: ({ envelope }, { reason }) => say(`buried ${envelope.id} ${reason}`),
        refused: (_, error) => say(`refused ${error.message}`),
        stuck: () => say('stuck'),
        former: () => say('former'),
        lost: (reason) => say(`lost ${reason.message}`),
        setback: (id, _, attempt, { message }) => say(`setback ${id} ${attempt} ${message}`),
        dropped: (id, _, { message }) => say(`dropped ${id} ${message}`),
        unsendable: (_, id) => say(`unsendable ${id}`),
        skewed: (byMs) => say(`skewed ${byMs}`),
        unsaved: ({ message }) => say(`unsaved ${message}`),
        ...{ moved: () => {}, left: () => {} },
      },
    );
    await this.#pump.open(session, ownership);
  }

  /** A foreign message has no number: only the ids in the save can tell that it is in the state. */
  publish(topic: string, data: unknown, isForeign: boolean): void {
    const sequence = ++this.#sequence;
    const envelope: Envelope = {
      ...{ id: `p-${sequence}`, topic, source: 'signalbox:test/p', headers: {}, time: 0 },
      payload: Payload.of(data, { maxBytes: 100_000 }),
      origin: isForeign ? undefined : { producer: 'p', sequence, open: [[1, Infinity]] },
      ...{ resent: false, fence: undefined },
    };
    this.#kept.push({ envelope, redelivered: false, state: 'ready' });
    this.#deliver();
  }

  /** Resolves when everything has come to rest that needs no more time. */
  async settle(): Promise<void> {
    for (let quiet = 0, last = -1; quiet < 8; quiet++) {
      await turn();
      const now = this.points + this.crashes + this.taken.length;
      if (now !== last) quiet = 0;
      last = now;
    }
  }

  async advance(ms: number): Promise<void> {
    // In small steps, so that a crash and what follows it take no time.
    for (let left = ms; left > 0; left--) {
      await this.environment.clock.advance(1);
      await this.settle();
    }
  }

  /** The state that a successor would find. */
  saved(): Schedule {
    return decodeSchedule(this.checkpoint!, this.chart, this.#settings).schedule;
  }

  get unsettled(): number {
    return this.#kept.filter(({ state }) => state === 'ready' || state === 'out').length;
  }

  end(): void {
    this.#life++;
    this.#pump.abandon(new Error('The test is over.'));
  }

  #crash(): void {
    this.#life++;
    this.crashes++;
    this.#sink = undefined;
    this.#pump.abandon(new Error('It has crashed.'));
    for (const kept of this.#kept)
      if (kept.state === 'out') {
        kept.state = 'ready';
        kept.redelivered = true;
      }
    void turn().then(() => this.start());
  }

  #deliver(): void {
    const life = this.#life;
    const sink = this.#sink;
    if (!sink) return;
    const say = (kept: Kept, state: Kept['state']) => {
      if (this.#life !== life || kept.state !== 'out') return;
      kept.state = state;
      this.#deliver();
    };
    for (const kept of this.#kept) {
      if (this.#kept.filter(({ state }) => state === 'out').length >= PREFETCH) return;
      if (kept.state !== 'ready') continue;
      kept.state = 'out';
      const { envelope, redelivered } = kept;
      const delivery: Delivery = {
        ...{ envelope, redelivered, attempt: 1, redrives: 0 },
        begin: () => (redelivered ? Promise.resolve() : undefined),
        cutOff: () => {},
        ack: () => say(kept, 'acked'),
        reject: async () => say(kept, 'rejected'),
      };
      sink.delivery(delivery);
    }
  }
}
