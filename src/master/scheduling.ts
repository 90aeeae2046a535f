import type { AnyStateMachine, InputFrom } from 'xstate';
import type { Migrate, Version } from '../schedule/checkpoint.js';
import { OptionError } from '../model/errors.js';
import type { CheckPatterns, MaybeCatalogue } from '../model/typed-message.js';
import type { TopicInput } from '../model/topic.js';
import {
  CONSUME_OPTIONS,
  checkConsumeOptions,
  checkKeys,
  type ConsumeOptions,
  type ConsumerPlan,
  type Limits,
} from './options.js';

/** One handler call at a time, and a save for many: so many messages may share one. */
const PREFETCH = 256;
const NOT_OF_A_SCHEDULER = ['ownership', 'concurrency', 'orderBy', 'handlerTimeoutMs'];

/** What a scheduler has that a consumer has not. */
export interface StatechartOptions<Logic extends AnyStateMachine = AnyStateMachine> {
  /** An XState machine that is pure: it publishes by `emit({ type: 'publish', topic, data })`, and invokes promises only. */
  readonly logic: Logic;
  /** Of the machine, for its very first state. */
  readonly input?: InputFrom<Logic>;
  /** Of the machine: a state that another version has saved goes through `migrate`. Default 1. */
  readonly version?: Version;
  /** Makes of a state that another version has saved one of this version. */
  readonly migrate?: Migrate;
}

export type ScheduleOptions<Logic extends AnyStateMachine = AnyStateMachine> = StatechartOptions<Logic> &
  Omit<ConsumeOptions, 'ownership' | 'concurrency' | 'orderBy' | 'handlerTimeoutMs'>;

/** The options of `schedule`: its bindings are patterns of the catalogue. */
export type ScheduleOptionsOf<
  C extends MaybeCatalogue,
  Bindings extends readonly TopicInput[],
  Logic extends AnyStateMachine,
> = Omit<ScheduleOptions<Logic>, 'bindings'> & {
  readonly bindings: Bindings & CheckPatterns<C, Bindings[number]>;
};

/** What `schedule` asks for, complete and checked. */
export interface SchedulerPlan {
  readonly consumer: ConsumerPlan;
  readonly logic: AnyStateMachine;
  readonly input: unknown;
  readonly version: Version;
  readonly migrate: Migrate | undefined;
}

export function checkScheduleOptions(queue: string, options: ScheduleOptions, limits: Limits): SchedulerPlan {
  checkKeys('schedule', options, SCHEDULE_OPTIONS);
  const {
    logic,
    input,
    version = 1,
    migrate,
    ...rest
  } = options as Omit<ScheduleOptions, 'input'> & {
    input?: unknown;
  };
  if (typeof logic !== 'object' || logic === null || !('implementations' in logic && 'root' in logic))
    throw new OptionError('logic must be an XState machine, as createMachine makes it.');
  if (typeof version !== 'string' && !Number.isSafeInteger(version))
    throw new OptionError(`version must be a string or a whole number, not ${String(version)}.`);
  if (migrate !== undefined && typeof migrate !== 'function')
    throw new OptionError('migrate must be a function of a saved state and its version.');
  const consumer = checkConsumeOptions(queue, { prefetch: PREFETCH, ...rest }, limits);
  return { consumer, logic, input, version, migrate };
}

const SCHEDULE_OPTIONS = [
  ...CONSUME_OPTIONS.filter((option) => !NOT_OF_A_SCHEDULER.includes(option)),
  ...['logic', 'input', 'version', 'migrate'],
];
