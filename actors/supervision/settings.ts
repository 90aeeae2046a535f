import type { Backoff } from '../../src/model/backoff.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { OptionError } from '../../src/model/errors.js';
import { TIMER_MAX_MS, type SupervisionClock } from './alarms.js';
import { checkSpecs, type AutoShutdown, type CheckedSpec, type ChildSpec } from './child-spec.js';
import type { RestartLimits } from './restart-window.js';

export type RestartStrategy = 'one-for-one' | 'one-for-all' | 'rest-for-one';

export interface RestartOptions {
  /** Restarts allowed within any `periodMs`; one more and the supervisor gives up. Default 5. */
  readonly intensity?: number;
  /** Default 30,000. */
  readonly periodMs?: number;
  /** Waits before a restart, longer with each one in the period, with full jitter. Default: restarts at once. */
  readonly backoff?: Backoff;
  /** Default: the clock of the actor system. */
  readonly clock?: SupervisionClock;
  /** A number in [0, 1), for the jitter. Default `Math.random`. */
  readonly random?: () => number;
}

export interface SupervisorOptions extends RestartOptions {
  /** Whom a crash concerns: the child alone, all children, or it and those started after it. Default `one-for-one`. */
  readonly strategy?: RestartStrategy;
  /** The static children, in the order of their start. */
  readonly children?: readonly ChildSpec[];
  /** Whether the supervisor's work is done when any, or the last, significant child has ended by itself. Default `never`. */
  readonly autoShutdown?: AutoShutdown;
}

/** Checked options, defaults filled in. */
export interface Settings {
  readonly strategy: RestartStrategy;
  readonly limits: RestartLimits;
  readonly backoff: Backoff | undefined;
  readonly autoShutdown: AutoShutdown;
  readonly children: readonly CheckedSpec[];
  readonly clock: SupervisionClock | undefined;
  readonly random: () => number;
}

const STRATEGIES: readonly unknown[] = ['one-for-one', 'one-for-all', 'rest-for-one'];
const SHUTDOWNS: readonly unknown[] = ['never', 'any-significant', 'all-significant'];

/** Throws an `OptionError` that names the option. */
export function checkOptions(options: SupervisorOptions): Settings {
  const { strategy = 'one-for-one', autoShutdown = 'never', intensity = 5, periodMs = 30_000 } = options;
  const { backoff, children = [], clock, random = systemEnvironment.random } = options;
  check(STRATEGIES.includes(strategy), { strategy }, STRATEGIES.join(', '));
  check(SHUTDOWNS.includes(autoShutdown), { autoShutdown }, SHUTDOWNS.join(', '));
  check(Number.isSafeInteger(intensity) && intensity >= 0, { intensity }, 'a whole number from 0');
  check(Number.isFinite(periodMs) && periodMs > 0, { periodMs }, 'a number above 0');
  if (backoff) {
    const { minDelayMs, maxDelayMs } = backoff;
    check(minDelayMs > 0 && minDelayMs <= TIMER_MAX_MS, { minDelayMs }, `a number from 1 to ${TIMER_MAX_MS}`);
    check(
      maxDelayMs >= minDelayMs && maxDelayMs <= TIMER_MAX_MS,
      { maxDelayMs },
      'a number from `minDelayMs`',
    );
  }
  return {
    strategy,
    limits: { intensity, periodMs },
    backoff,
    autoShutdown,
    children: checkSpecs(children, autoShutdown),
    clock,
    random,
  };
}

/** Throws unless it holds; `option` is an object with the option as its only property. */
export function check(holds: boolean, option: Record<string, unknown>, expected: string): void {
  if (holds) return;
  const [[name, value] = []] = Object.entries(option);
  throw new OptionError(`Option \`${name}\` is ${String(value)}. It must be: ${expected}.`);
}
