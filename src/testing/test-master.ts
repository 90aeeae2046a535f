import type { Spool } from '../flow/spool.js';
import { Master } from '../master.js';
import type { MasterOptions } from '../master/options.js';
import { makeMaster, untilReady } from '../master/start.js';
import { OptionError } from '../model/errors.js';
import type { MaybeCatalogue } from '../model/typed-message.js';
import type { Faults } from './faults.js';
import type { HandlerWatch } from './handler-watch.js';
import type { DeadLettered, Handled, Published } from './records.js';
import type { Station } from './station.js';
import { createTestBroker, type TestBroker } from './test-broker.js';
import type { PassOptions, TestClock } from './test-clock.js';

export interface TestMasterOptions<C extends MaybeCatalogue = undefined> extends Omit<
  MasterOptions<C>,
  'name' | 'broker' | 'environment'
> {
  /** Default `master-1`, `master-2` … of its broker. */
  readonly name?: string;
  /** Another master's, or one made by `createTestBroker`. Default: one of its own. */
  readonly broker?: TestBroker;
  /** Of a broker of its own: see `createTestBroker`. */
  readonly seed?: number;
  readonly time?: 'virtual' | 'real';
}

/**
 * A master for a test: on a `memory:` broker of its own, with a clock that the test moves, and chance and ids that are the
 * same in every run. Rejects as `createMaster` does; lets time pass until it is ready.
 */
export async function createTestMaster<C extends MaybeCatalogue = undefined>(
  options: TestMasterOptions<C> = {},
): Promise<TestMaster<C>> {
  const { broker: given, seed, time, name, ...rest } = options;
  if (given && (seed !== undefined || time !== undefined))
    throw new OptionError('seed and time are options of the broker: give them to createTestBroker.');
  const broker =
    given ?? createTestBroker({ ...(seed !== undefined && { seed }), ...(time !== undefined && { time }) });
  const station = broker.station(name, rest.namespace ?? 'signalbox');
  const whole = { ...rest, name: station.name, broker, environment: station.environment };
  const master = await makeMaster(whole, (spool) => new TestMaster<C>(whole, spool, station));
  return broker.until(untilReady(master, whole.signal));
}

/** A master, and what a test does with it: made by `createTestMaster`. */
export class TestMaster<C extends MaybeCatalogue = undefined> extends Master<C> {
  /** The same for all masters that a test lets meet. */
  readonly broker: TestBroker;
  /** What goes wrong between this master and its broker. */
  readonly faults: Faults;
  readonly #station: Station;
  readonly #untyped: Master;

  /** @internal `createTestMaster` opens the spool first. */
  constructor(
    options: MasterOptions<C> & { readonly broker: TestBroker },
    spool: Spool | undefined,
    station: Station,
  ) {
    super(options, spool);
    this.broker = options.broker;
    this.faults = this.broker.faultsOf(this.name, options.namespace);
    this.#station = station;
    this.on('spool', ({ messages }) => station.noteSpool(messages));
    this.#untyped = options.messages ? watched(super.untyped, station.watch) : (this as unknown as Master);
    Object.assign(this, callsOf(this as unknown as Master, station.watch));
  }

  /** The broker's: time passes for all its masters. */
  get clock(): TestClock {
    return this.broker.clock;
  }

  override get untyped(): Master {
    return this.#untyped;
  }

  /** What the broker has taken of this master. */
  get published(): readonly Published[] {
    return this.broker.published.filter(({ master }) => master === this.name);
  }

  /** What this master's handlers have done. */
  get handled(): readonly Handled[] {
    return this.broker.handled.filter(({ master }) => master === this.name);
  }

  /** What this master has given up. */
  get deadLettered(): readonly DeadLettered[] {
    return this.broker.deadLettered.filter(({ master }) => master === this.name);
  }

  /** Lets time pass until all that was published is done with, by all masters: see `TestBroker.idle`. */
  idle(options?: PassOptions): Promise<void> {
    return this.broker.idle(options);
  }

  /** Lets time pass until a promise has settled, and settles as it does. DeadlineError after an hour of the broker's time. */
  until<T>(promise: Promise<T>, options?: PassOptions): Promise<T> {
    return this.broker.until(promise, options);
  }

  /**
   * As if its process were killed: the broker sees its connection break, and nothing of it is heard any more. Its name is
   * free. It ends as `failed` or `stopped`; handlers that run can't be ended, only left behind.
   */
  crash(): void {
    this.#station.kill();
    void super.stop({ drainTimeoutMs: 1 });
  }

  /**
   * As if its process were suspended: its timers stand still, no handler call begins, no word arrives at either end, and
   * after `ownerTimeoutMs` the broker takes it for dead. What runs on by itself is the test's own code, and what a handler
   * that runs does next.
   */
  freeze(): void {
    this.#station.freeze();
  }

  /** It goes on, and finds out what it has lost. */
  thaw(): void {
    this.#station.thaw();
  }

  /** Thaws it, stops it, and lets time pass until it has stopped: whatever happened to it, nothing is left. */
  override async [Symbol.asyncDispose](): Promise<void> {
    this.thaw();
    await this.until(this.stop());
  }
}

/** `subscribe` and `consume` of a master, which end with the handler: it is watched. */
function callsOf(master: Master, watch: HandlerWatch): Pick<Master, 'subscribe' | 'consume'> {
  const watching = (name: 'subscribe' | 'consume') => {
    const call = master[name].bind(master) as (...given: unknown[]) => unknown;
    return (...given: unknown[]) => {
      const handler = given.pop();
      return call(...given, watch.over(handler));
    };
  };
  return { subscribe: watching('subscribe'), consume: watching('consume') } as never;
}

/** The same master, with its handlers watched. */
function watched(master: Master, watch: HandlerWatch): Master {
  const calls = callsOf(master, watch);
  return new Proxy(master, {
    get: (target, name) => Reflect.get(name in calls ? calls : target, name) as unknown,
  });
}
