import type { Ownership, Session } from '../backend.js';
import { DuplicateFilter } from '../model/duplicates.js';
import { StoppedError } from '../model/errors.js';
import { SeenEpochs } from '../model/seen-epochs.js';
import type { Handler } from './handler.js';
import { Setbacks } from './setbacks.js';
import { Hold } from './hold.js';
import type { PumpPorts, PumpReports, PumpSettings } from './pump-ports.js';

/** What a durable consumer's actor opens and ends. */
export type DataPlane<S = Session> = Pick<Pump, 'closed' | 'halt' | 'drain' | 'abandon' | 'quiet'> & {
  open(session: S, ownership: Ownership | undefined): Promise<void>;
};

/** The data plane of one durable consumer: opens, drains and abandons what it holds, one hold after the other. */
export class Pump {
  readonly #epochs = new SeenEpochs();
  #hold: Hold | undefined;
  readonly #setbacks: Setbacks;
  #closed: Promise<void> = Promise.resolve();

  constructor(
    readonly settings: PumpSettings,
    readonly handler: Handler,
    readonly ports: PumpPorts,
    readonly reports: PumpReports,
  ) {
    this.#setbacks = new Setbacks(settings.prefetch);
  }

  /** Resolves when what an earlier `drain` or `abandon` gave back is back. To be awaited before `open`. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** Begins to consume. Resolves when the broker has accepted the consumer. */
  async open(
    session: Pick<Session, 'consume' | 'capabilities'>,
    ownership: Ownership | undefined,
  ): Promise<void> {
    const last = this.#hold;
    // Under another session or epoch an ack may have been refused: only then can a message come again that is no copy.
    const isSame = last?.session === session && last.ownership === ownership;
    const { producerMemoryMs } = this.settings;
    const duplicates = isSame ? last.memory.duplicates : new DuplicateFilter({ producerMemoryMs });
    const { settings, handler, ports, reports } = this;
    const memory = { duplicates, epochs: this.#epochs, setbacks: this.#setbacks };
    this.#hold = new Hold(session, ownership, memory, settings, handler, ports, reports);
    await this.#hold.begin();
  }

  /** No handler call begins any more. */
  halt(): void {
    this.#hold?.halt();
  }

  /**
   * Lets running calls end, aborts those that still run at the deadline, gives back the rest, and resolves when the
   * broker has taken all settlements.
   */
  drain(deadline: Promise<void>): Promise<void> {
    const hold = this.#hold;
    if (!hold) return this.#closed;
    hold.halt();
    const drain = async () => {
      await hold.quiet(deadline);
      hold.end(
        new StoppedError(`The consumer of queue "${this.settings.queue}" stopped before its handler ended.`),
      );
      await hold.close();
    };
    return (this.#closed = drain());
  }

  /** Everything in hand belongs to somebody else now: signals are aborted, late settlements are ignored. */
  abandon(reason: Error): void {
    const hold = this.#hold;
    if (!hold) return;
    hold.end(reason);
    this.#closed = hold.close();
  }

  /** Resolves when no handler call runs, or at the deadline. */
  async quiet(deadline: Promise<void>): Promise<void> {
    await this.#hold?.quiet(deadline);
  }
}
