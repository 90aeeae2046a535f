import { DuplicateFilter } from '../model/duplicates.js';
import type { Origin } from '../model/message.js';
import type { ChartEvent, ChartSnapshot, Effect, Statechart, Step } from '../model/statechart.js';
import { AppliedInputs } from './applied.js';
import { makeEmission, type Emission, type EmissionRules } from './emission.js';
import { OpenEmissions } from './open-emissions.js';
import { Timers, type Timer } from './timers.js';

/** Work that the machine has invoked and that has not ended. */
export interface Invocation {
  readonly id: string;
  /** Tells it from earlier ones of that id: what those answer counts no more. */
  readonly number: number;
  readonly input: unknown;
}

/** What changes the state; each is applied once. */
export type Input =
  | {
      readonly type: 'message';
      /** Of the message, and of its redriven letters. */
      readonly id: string;
      /** False: another message may have this id. */
      readonly isUnique: boolean;
      /** Undefined: it is no producer's duplicate. */
      readonly origin: Origin | undefined;
      /** Which delivery of the present consumer it is. */
      readonly delivery: number;
      readonly event: ChartEvent;
    }
  | { readonly type: 'timer'; readonly timer: Timer }
  | { readonly type: 'result'; readonly invocation: Invocation; readonly event: ChartEvent };

export interface ScheduleOptions {
  readonly prefetch: number;
  readonly producerMemoryMs: number;
  readonly rules: EmissionRules;
}

/**
 * The state of one scheduler: where its machine is, its timers, what it has invoked, what it has published and nobody has
 * confirmed, and which inputs are in it. Pure: no clock, no I/O; the same inputs at the same times make the same state.
 */
export class Schedule {
  readonly timers = new Timers();
  readonly applied: AppliedInputs;
  readonly emissionNumbers = new OpenEmissions();
  snapshot: ChartSnapshot;
  duplicates: DuplicateFilter;
  /** In the order of their numbers. */
  emissions: Emission[] = [];
  /** How many inputs are in it, since it is in this process. */
  version = 0;
  invocations: Invocation[] = [];
  /** Of invocations, and of timers without a name. */
  counter = 0;

  constructor(
    readonly chart: Statechart,
    readonly options: ScheduleOptions,
    snapshot: ChartSnapshot,
  ) {
    this.snapshot = snapshot;
    this.applied = new AppliedInputs(options.prefetch);
    this.duplicates = new DuplicateFilter(options);
  }

  /** The first state of a machine. Throws what the machine throws. */
  static begin(chart: Statechart, input: unknown, options: ScheduleOptions, now: number): Schedule {
    const step = chart.start(input);
    const schedule = new Schedule(chart, options, step.snapshot);
    schedule.#take(step, now);
    return schedule;
  }

  /**
   * Changes the state by one input, and says whether it did: one that is in it already, or counts no more, changes nothing.
   * Throws what the machine throws; then the state is as it was. `now` is Unix time in milliseconds.
   */
  apply(input: Input, now: number): boolean {
    if (!this.#isNew(input, now)) return false;
    try {
      const event = input.type === 'timer' ? input.timer.event : input.event;
      this.#take(this.chart.step(this.snapshot, event), now, input);
    } catch (thrown) {
      if (input.type === 'message' && input.origin) this.duplicates.forget(input.origin);
      throw thrown;
    }
    if (input.type === 'message') this.applied.note(input.id, input.delivery);
    return true;
  }

  /** An input that fails for good is left out. */
  drop(input: Exclude<Input, { type: 'message' }>): void {
    if (input.type === 'timer') this.timers.cancel(input.timer.id);
    else this.#end(input.invocation);
    this.version += 1;
  }

  /** Emissions up to this number are confirmed. */
  published(upTo: number): void {
    const left = this.emissions.findIndex(({ number }) => number > upTo);
    this.emissions = left === -1 ? [] : this.emissions.slice(left);
  }

  isRunning(invocation: Invocation): boolean {
    return this.invocations.includes(invocation);
  }

  #isNew(input: Input, now: number): boolean {
    if (input.type === 'timer') return this.timers.has(input.timer);
    if (input.type === 'result') return this.isRunning(input.invocation);
    if (input.isUnique && this.applied.has(input.id)) {
      this.applied.note(input.id, input.delivery);
      return false;
    }
    if (!input.origin) return true;
    return !this.duplicates.seen(input.origin, now);
  }

  /** Either all of it, or nothing: whatever may throw comes first. */
  #take({ snapshot, effects }: Step, now: number, input?: Input): void {
    const emissions: Emission[] = [];
    for (const effect of effects)
      if (effect.type === 'publish') {
        const number = this.emissionNumbers.last + emissions.length + 1;
        emissions.push(makeEmission(effect, number, now, this.options.rules));
      }
    for (const effect of effects) if (effect.type === 'run') effect.run();

    if (input?.type === 'timer') this.timers.cancel(input.timer.id);
    if (input?.type === 'result') this.#end(input.invocation);
    for (const effect of effects) this.#note(effect, now);
    this.emissionNumbers.opened(emissions.length);
    this.emissions.push(...emissions);
    this.snapshot = snapshot;
    if (snapshot.status !== 'active') this.#rest();
    this.version += 1;
  }

  #note(effect: Effect, now: number): void {
    if (effect.type === 'timer')
      this.timers.set({
        id: effect.id ?? `unnamed.${++this.counter}`,
        at: now + Math.max(0, effect.delayMs),
        event: effect.event,
      });
    else if (effect.type === 'cancel') this.timers.cancel(effect.id);
    else if (effect.type === 'stop') this.invocations = this.invocations.filter(({ id }) => id !== effect.id);
    else if (effect.type === 'invoke') {
      const { id, input } = effect;
      this.invocations = [...this.invocations, { id, number: ++this.counter, input }];
    }
  }

  /** A machine that has ended waits for nothing. */
  #rest(): void {
    for (const { id } of this.timers.all()) this.timers.cancel(id);
    this.invocations = [];
  }

  #end(invocation: Invocation): void {
    this.invocations = this.invocations.filter((other) => other !== invocation);
  }
}
