import type { Environment, Timer } from '../../model/clock.js';
import type { Connection } from './connection.js';
import type { StreamConsumers } from './consumers.js';
import { Intake } from './intake.js';
import type { Lease } from './lease.js';
import type { Names } from './names.js';
import { Source } from './source.js';

export interface SharedIntakePorts {
  readonly connection: Connection;
  readonly environment: Environment;
  readonly names: Names;
  readonly events: StreamConsumers;
  readonly letters: StreamConsumers;
  /** Until what nobody speaks of is given to another. */
  readonly ackWaitMs: number;
  /** The server does not have a consumer any more, or its leader has changed. */
  readonly missing: () => void;
}

/** How often sources that were replaced are asked again: what others gave back may be there. */
const LOOK_MS = 1_000;
/** So many signs that a message is in hand go into the time after which it is given to another. */
const SIGNS = 3;

/** What one consumer of a shared queue takes in. Others take from the same consumers at the server. */
export class SharedIntake {
  readonly intake: Intake;
  readonly #ports: SharedIntakePorts;
  #timers: Timer[] = [];
  #isOpen = true;

  constructor(ports: SharedIntakePorts) {
    this.#ports = ports;
    this.intake = new Intake({ isOrdered: false, isSettled: () => false, done: () => {} });
    this.#every(LOOK_MS, () => this.lookAgain());
    this.#every(ports.ackWaitMs / SIGNS, () => {
      for (const held of this.intake.known) held.source.working(held);
    });
  }

  /** As its keeper has it now. */
  follow(lease: Lease): void {
    if (!this.#isOpen) return;
    const named = new Set(lease.segments.map(({ consumer }) => consumer));
    for (const source of this.intake.sources)
      if (!source.isAgain && !named.has(source.consumer)) this.intake.remove(source);
    for (const segment of lease.segments) {
      const source = this.intake.find(segment.consumer);
      if (!source) this.#open(segment.consumer, segment);
      else if (segment.until !== undefined) source.end(segment.until);
    }
    this.intake.fill();
  }

  /** Letters were put back. */
  openAgain(consumer: string): void {
    if (!this.#isOpen) return;
    const source = this.intake.find(consumer);
    if (source) void source.refresh(1);
    else this.#open(consumer, undefined);
  }

  /** Sources that had nothing may have something again. */
  lookAgain(): void {
    const { sources } = this.intake;
    for (const source of sources)
      if ((source.isAgain || source.until !== undefined) && source.asked === 0) void source.refresh(1);
  }

  stop(): void {
    this.#isOpen = false;
    for (const timer of this.#timers) this.#ports.environment.clock.clearTimeout(timer);
  }

  #open(consumer: string, segment: Lease['segments'][number] | undefined): void {
    const { connection, environment, events, letters, names, missing } = this.#ports;
    this.intake.add(
      new Source(consumer, segment, {
        connection,
        clock: environment.clock,
        consumers: segment ? events : letters,
        prefix: names.eventPrefix,
        isShared: true,
        taken: (held) => this.intake.taken(held),
        changed: () => this.intake.fill(),
        missing,
      }),
    );
  }

  #every(ms: number, work: () => void): void {
    const { clock } = this.#ports.environment;
    const index = this.#timers.length;
    const run = () => {
      if (!this.#isOpen) return;
      work();
      this.#timers[index] = clock.setTimeout(run, ms);
    };
    this.#timers.push(clock.setTimeout(run, ms));
  }
}
