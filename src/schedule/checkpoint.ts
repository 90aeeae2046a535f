import { deserialize, serialize } from 'node:v8';
import { DuplicateFilter } from '../model/duplicates.js';
import { SchedulerLogicError, SchedulerStateError, toError } from '../model/errors.js';
import type { Statechart } from '../model/statechart.js';
import type { Emission } from './emission.js';
import { Schedule, type Invocation, type ScheduleOptions } from './schedule.js';
import type { Timer } from './timers.js';

/** A scheduler's `version`. */
export type Version = string | number;

/** What a `migrate` gets and gives back: where the machine is, and what it waits for. */
export interface SavedState {
  /** As XState's `getPersistedSnapshot()` has it: `value`, `context`, `status` and so on. */
  readonly snapshot: unknown;
  /** Events that the machine will get, `at` Unix milliseconds. */
  readonly timers: readonly Timer[];
  /** Promises that will be started again. */
  readonly invocations: readonly Invocation[];
}

export type Migrate = (saved: SavedState, from: Version) => SavedState;

/** What one save holds beside that. */
interface Checkpoint extends SavedState {
  readonly version: Version;
  readonly savedAt: number;
  readonly counter: number;
  readonly emissions: readonly Emission[];
  readonly numbers: object;
  readonly applied: readonly string[];
  readonly window: number;
  readonly duplicates: unknown;
}

/** The first byte says which form the rest has: V8's own, which keeps Date, Map, Set, bigint, bytes and undefined. */
const FORM = 1;

/** Throws a SchedulerLogicError for a state that cannot be kept, as one with a function in it. */
export function encodeSchedule(schedule: Schedule, version: Version, now: number): Uint8Array {
  const { applied, chart, duplicates, emissionNumbers, emissions, counter, invocations, timers } = schedule;
  const checkpoint: Checkpoint = {
    version,
    savedAt: now,
    snapshot: chart.persist(schedule.snapshot),
    timers: timers.all(),
    ...{ invocations, counter, emissions },
    numbers: emissionNumbers.toPlain(),
    applied: applied.ids(),
    window: applied.window,
    duplicates: duplicates.snapshot(),
  };
  try {
    return Buffer.concat([Buffer.of(FORM), serialize(checkpoint)]);
  } catch (cause) {
    const text = `The state of the scheduler cannot be saved: ${toError(cause).message} Its context and its events must be data.`;
    throw new SchedulerLogicError(text, { cause });
  }
}

export interface Found {
  readonly schedule: Schedule;
  /** Unix time in milliseconds, by the clock of whoever saved it. */
  readonly savedAt: number;
  /** A successor would find just this: nothing was migrated. */
  readonly isAsSaved: boolean;
}

/** Throws a SchedulerStateError for what was saved by another version and cannot be, or is not, migrated. */
export function decodeSchedule(
  bytes: Uint8Array,
  chart: Statechart,
  options: ScheduleOptions & {
    readonly queue: string;
    readonly version: Version;
    readonly migrate: Migrate | undefined;
  },
): Found {
  const checkpoint = read(bytes, options.queue);
  const { snapshot, timers, invocations } = migrated(checkpoint, options);
  const schedule = new Schedule(chart, options, restored(chart, snapshot, options.queue));
  for (const timer of timers) schedule.timers.set(timer);
  schedule.invocations = [...invocations];
  schedule.counter = checkpoint.counter;
  schedule.emissions = [...checkpoint.emissions];
  schedule.emissionNumbers.restore(checkpoint.numbers);
  schedule.applied.restore(checkpoint.applied, checkpoint.window);
  schedule.duplicates = DuplicateFilter.restore(checkpoint.duplicates, options);
  return { schedule, savedAt: checkpoint.savedAt, isAsSaved: checkpoint.version === options.version };
}

function read(bytes: Uint8Array, queue: string): Checkpoint {
  const form = bytes[0] ?? 0;
  if (form > FORM)
    throw new SchedulerStateError(
      `The state of scheduler "${queue}" has form ${form}, this signalbox reads up to ${FORM}: upgrade it.`,
    );
  try {
    return deserialize(bytes.subarray(1)) as Checkpoint;
  } catch (cause) {
    throw new SchedulerStateError(
      `What queue "${queue}" keeps is no state of a scheduler, or a newer Node.js wrote it: upgrade this one, or delete the queue.`,
      { cause },
    );
  }
}

function migrated(
  checkpoint: Checkpoint,
  { queue, version, migrate }: { queue: string; version: Version; migrate: Migrate | undefined },
): SavedState {
  const { version: from, snapshot, timers, invocations } = checkpoint;
  if (from === version) return checkpoint;
  const versions = `The state of scheduler "${queue}" is of version ${JSON.stringify(from)}, its machine here of ${JSON.stringify(version)}`;
  if (!migrate)
    throw new SchedulerStateError(
      `${versions}. Give schedule() a migrate function, run the version that wrote it, or delete the queue to begin anew.`,
    );
  try {
    return migrate({ snapshot, timers, invocations }, from);
  } catch (cause) {
    throw new SchedulerStateError(`${versions}, and migrate threw: ${toError(cause).message}`, { cause });
  }
}

function restored(chart: Statechart, snapshot: unknown, queue: string) {
  try {
    return chart.restore(snapshot);
  } catch (cause) {
    throw new SchedulerStateError(
      `The machine of scheduler "${queue}" has no such state as was saved: ${toError(cause).message} Give it another version and a migrate function.`,
      { cause },
    );
  }
}
