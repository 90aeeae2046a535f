import type { Environment } from '../model/clock.js';
import { HandlerWatch } from './handler-watch.js';
import type { Line } from './line.js';
import { MasterClock } from './master-clock.js';
import type { Handled } from './records.js';

/** What surrounds one test master: its clock, its line to the broker and its handlers stand still, go on and die together. */
export class Station {
  readonly environment: Environment;
  readonly watch: HandlerWatch;
  /** Messages in its spool. */
  #spooled = 0;
  readonly #clock: MasterClock;
  #isAlive = true;

  constructor(
    readonly name: string,
    readonly line: Line,
    environment: Environment,
    handled: (record: Handled) => void,
  ) {
    this.#clock = new MasterClock(environment.clock);
    this.environment = { ...environment, clock: this.#clock };
    this.watch = new HandlerWatch((message, { queue, epoch, master, attempt, redelivered }) => {
      // Of a queue the line tells, when the master acks.
      if (queue === undefined) handled({ message, master, queue, epoch, attempt, redelivered });
    });
  }

  /** Calls that run, and are about something that still counts. */
  get running() {
    return this.#isAlive && !this.line.isFrozen ? this.watch.running : [];
  }

  get spooled(): number {
    return this.#isAlive && !this.line.isFrozen ? this.#spooled : 0;
  }

  noteSpool(messages: number): void {
    this.#spooled = messages;
  }

  freeze(): void {
    if (!this.#isAlive) return;
    this.#clock.freeze();
    this.watch.freeze();
    this.line.freeze();
  }

  /** First it hears what was said meanwhile, then its timers fire. */
  thaw(): void {
    if (!this.#isAlive) return;
    this.line.thaw();
    this.watch.thaw();
    this.#clock.thaw();
  }

  kill(): void {
    this.thaw();
    this.#isAlive = false;
    this.line.kill();
  }
}
