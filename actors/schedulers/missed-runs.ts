import { systemClock } from '../../src/model/clock.js';

/** What is done about runs that fell due while no master was there. */
export interface MissedRunsOptions {
  /** Make up for them by one, or leave them out. Default `once`. */
  readonly missedRuns?: 'once' | 'skip';
  /** A run that comes so much too late was missed. Default one minute. */
  readonly lateMs?: number;
  /** Unix time in milliseconds, for tests. */
  readonly now?: () => number;
}

export interface MissedRuns {
  readonly now: () => number;
  readonly isLate: (due: Date) => boolean;
  /** Now it is late, and late runs are left out. */
  readonly leavesOut: (due: Date) => boolean;
}

export function missedRunsOf({
  missedRuns = 'once',
  lateMs = 60_000,
  now = () => systemClock.wall(),
}: MissedRunsOptions): MissedRuns {
  const isLate = (due: Date) => now() - due.getTime() > lateMs;
  return { now, isLate, leavesOut: (due) => missedRuns === 'skip' && isLate(due) };
}
