import type { AnyActorLogic } from 'xstate';
import { supervisorConfig, type ChildSpec } from './supervision/child-spec.js';
import { engineLogic, type EngineLogic } from './supervision/engine.js';
import type { SupervisorContext } from './supervision/protocol.js';
import { checkOptions, type SupervisorOptions } from './supervision/settings.js';
import { Supervision } from './supervision/supervision.js';

export type { AutoShutdown, ChildSpec, IncarnationInfo, RestartPolicy } from './supervision/child-spec.js';
export type {
  ChildStatus,
  ChildView,
  RefusalCode,
  SupervisorContext,
  SupervisorEmitted,
  SupervisorEvent,
  SupervisorSnapshot,
} from './supervision/protocol.js';
export type { RestartOptions, RestartStrategy, SupervisorOptions } from './supervision/settings.js';

export type SupervisorLogic = EngineLogic<SupervisorContext>;

/**
 * Actor logic of a supervisor with the semantics of OTP's: ordered start, reverse stop, three restart strategies, a sliding restart
 * window, escalation, significant children.
 *
 * - Static children (`children`) share one budget. One restart more than `intensity` within `periodMs` and the supervisor stops
 *   them all and ends with the status `error`, a `RestartIntensityError` whose `cause` is the last error: the supervisor
 *   above takes that for a crash.
 * - Dynamic children (`child.start`, one-for-one only) are as under OTP's simple_one_for_one: forgotten once they end for good, and
 *   stopped all at once. Each has a budget of its own; over it, it alone is given up (`child.gave-up`).
 * - A child is asked to end by `{ type: 'supervisor.stop' }`, obeys by reaching a final state, and is stopped by force after its
 *   `shutdownMs`. Logic made by fromPromise, fromCallback, fromObservable, fromEventObservable and fromTransition has no way
 *   to obey and is stopped directly.
 * - A child that fails while it starts has crashed. If it is a static one and the supervisor is only just starting, the supervisor's
 *   start fails with that error.
 * - It never throws, and no error of a child, nor its own giving up, is ever an uncaught exception of the process: subscribe to it,
 *   or have a supervisor above, to learn of it.
 *
 * Throws an `OptionError` for options that make no sense.
 */
export function createSupervisor<const TLogics extends readonly AnyActorLogic[]>(
  options: Omit<SupervisorOptions, 'children'> & {
    readonly children?: { readonly [K in keyof TLogics]: ChildSpec<TLogics[K]> };
  } = {},
): SupervisorLogic {
  const settings = checkOptions(options);
  const { strategy, limits, autoShutdown } = settings;
  const config = supervisorConfig('supervisor', { strategy, ...limits, autoShutdown });
  return engineLogic(config, (scope) => new Supervision(scope, settings));
}
