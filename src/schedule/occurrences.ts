import type { Environment, Timer as ClockTimer } from '../model/clock.js';
import { toError } from '../model/errors.js';
import { decide, type RetryPolicy } from '../model/settlement.js';
import type { Input, Schedule } from './schedule.js';
import { occurrenceOf } from './timers.js';

/** What comes from no queue: due timers, and what invoked work has answered. */
type Occurrence = Exclude<Input, { type: 'message' }>;

export interface OccurrencePorts {
  readonly schedule: Schedule;
  readonly environment: Environment;
  readonly policy: RetryPolicy;
  /** Whether this side may act now; if not, `pulse` is called when it may. */
  readonly passes: () => boolean;
  /** One is in the state. */
  readonly applied: (input: Occurrence) => void;
  readonly failed: (id: string, topic: string, attempt: number, error: Error) => void;
  /** It has failed for good, and is left out. */
  readonly dropped: (id: string, topic: string, error: Error) => void;
}

/** So many at a time: messages and sockets get their turn between. */
const AT_A_TIME = 256;
/** More emissions than so many wait for the broker: no timer adds to them. */
const EMISSIONS_MAX = 10_000;
/** A clock that is set meanwhile is noticed after so long. */
const LOOK_MS = 60_000;

/** Fires timers that are due, and takes answers of invoked work, between the messages. */
export class Occurrences {
  readonly #ports: OccurrencePorts;
  readonly #answers: Occurrence[] = [];
  /** Those that have failed: how often, and when they may be tried again, on the monotonic clock. */
  readonly #setbacks = new Map<string, { attempts: number; notBefore: number }>();
  #alarm: ClockTimer | undefined;
  #isRunning = false;

  constructor(ports: OccurrencePorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#isRunning = true;
    this.pulse();
  }

  stop(): void {
    this.#isRunning = false;
    this.#ports.environment.clock.clearTimeout(this.#alarm);
  }

  answered(answer: Occurrence): void {
    this.#answers.push(answer);
    this.pulse();
  }

  /** Applies what is due, and waits for the rest. */
  readonly pulse = (): void => {
    if (!this.#isRunning || !this.#ports.passes()) return;
    const due = this.#applyDue();
    this.#wait(due < AT_A_TIME ? this.#nextInMs() : 0);
  };

  /** What is due now comes before a message that comes now. */
  beforeMessage(): void {
    if (this.#isRunning && this.#applyDue() > 0) this.#wait(this.#nextInMs());
  }

  /** A message has set timers, or cancelled them. */
  afterMessage(): void {
    if (this.#isRunning) this.#wait(this.#nextInMs());
  }

  #applyDue(): number {
    let count = 0;
    for (let next = this.#due(); next && count < AT_A_TIME; next = this.#due()) {
      count++;
      this.#attempt(next);
    }
    return count;
  }

  #due(): Occurrence | undefined {
    const { schedule, environment } = this.#ports;
    const now = environment.clock.now();
    const answer = this.#answers.find((one) => this.#mayTry(one, now));
    if (answer) return answer;
    const timer = this.#nextTimer(now);
    if (!timer || timer.at > environment.clock.wall()) return undefined;
    return schedule.emissions.length < EMISSIONS_MAX ? { type: 'timer', timer } : undefined;
  }

  #nextTimer(now: number) {
    return this.#ports.schedule.timers.next((timer) => this.#mayTry({ type: 'timer', timer }, now));
  }

  #mayTry(occurrence: Occurrence, now: number): boolean {
    if (this.#setbacks.size === 0) return true;
    return (this.#setbacks.get(nameOf(occurrence))?.notBefore ?? 0) <= now;
  }

  #attempt(input: Occurrence): void {
    const { schedule, environment } = this.#ports;
    try {
      const isNew = schedule.apply(input, environment.clock.wall());
      this.#settled(input);
      if (isNew) this.#ports.applied(input);
    } catch (thrown) {
      this.#failed(input, toError(thrown));
    }
  }

  #failed(input: Occurrence, error: Error): void {
    const { schedule, environment, policy } = this.#ports;
    const name = nameOf(input);
    const topic = input.type === 'timer' ? input.timer.event.type : input.event.type;
    const attempt = (this.#setbacks.get(name)?.attempts ?? 0) + 1;
    this.#ports.failed(name, topic, attempt, error);
    const decision = decide({ outcome: 'threw', error, attempt }, policy, environment);
    if (decision.type === 'retry') {
      this.#setbacks.set(name, {
        attempts: attempt,
        notBefore: environment.clock.now() + decision.delayMs,
      });
      return;
    }
    schedule.drop(input);
    this.#settled(input);
    this.#ports.dropped(name, topic, error);
  }

  #settled(input: Occurrence): void {
    this.#setbacks.delete(nameOf(input));
    const at = this.#answers.indexOf(input);
    if (at !== -1) this.#answers.splice(at, 1);
  }

  #nextInMs(): number | undefined {
    const { clock } = this.#ports.environment;
    const now = clock.now();
    const timer = this.#nextTimer(now);
    let next = timer ? Math.max(1, timer.at - clock.wall()) : Infinity;
    for (const { notBefore } of this.#setbacks.values()) next = Math.min(next, Math.max(1, notBefore - now));
    return next === Infinity ? undefined : Math.min(next, LOOK_MS);
  }

  #wait(delayMs: number | undefined): void {
    const { clock } = this.#ports.environment;
    clock.clearTimeout(this.#alarm);
    this.#alarm = delayMs === undefined ? undefined : clock.setTimeout(this.pulse, delayMs);
  }
}

function nameOf(occurrence: Occurrence): string {
  if (occurrence.type === 'timer') return occurrenceOf(occurrence.timer);
  const { id, number } = occurrence.invocation;
  return `${id}#${number}`;
}
