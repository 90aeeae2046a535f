import type { AnyActorRef } from 'xstate';
import type { ChildSpec, RestartPolicy } from './child-spec.js';
import type { ContextSnapshot } from './display.js';

/** What a supervisor takes. `child.start` needs the strategy `one-for-one`; a request it cannot meet is answered by `child.refused`. */
export type SupervisorEvent =
  /** Starts a dynamic child. */
  | { type: 'child.start'; child: ChildSpec }
  /** Ends the child. Afterwards a static one is `stopped` (forgotten if it is a `never` child), a dynamic one forgotten. */
  | { type: 'child.stop'; id: string }
  /** Starts a `stopped` static child again. */
  | { type: 'child.restart'; id: string }
  /** Forgets a `stopped` static child. */
  | { type: 'child.delete'; id: string }
  /** Ends all children in the reverse order of their start, then the supervisor itself: status `done`. */
  | { type: 'stop' }
  /** The same, from a supervisor above: it is what every supervisor sends to a child. */
  | { type: 'supervisor.stop' };

/** `already-present`: the id is known, its child is not running. `running`: it runs, or is about to. */
export type RefusalCode =
  'already-started' | 'already-present' | 'running' | 'not-found' | 'stopping' | 'invalid';

/**
 * `child.ended`, `child.killed` and `child.gave-up` are the last word on a child, unless it is to be restarted nevertheless (an `always`
 * child, a group's restart): then `child.restarted` follows. So each `child.stop` gets an answer, unless the child is `stopped` already.
 */
export type SupervisorEmitted =
  /** `restart` is the child's policy, `restarts` how often it had been restarted before. Never the last word. */
  | { type: 'child.crashed'; id: string; error: unknown; restart: RestartPolicy; restarts: number }
  | { type: 'child.restarted'; id: string; restarts: number }
  /** Stopped by force: past its `shutdownMs`, or because the supervisor itself was. */
  | { type: 'child.killed'; id: string }
  /** Ended by itself or as asked, or was stopped before it could be restarted. */
  | { type: 'child.ended'; id: string; output: unknown }
  /** It will not be restarted: over the budget (a `RestartIntensityError`), or a `never` child that crashed (its error). */
  | { type: 'child.gave-up'; id: string; error: unknown }
  /** `error` says what is wrong with an `invalid` child. */
  | { type: 'child.refused'; request: string; id: string; code: RefusalCode; error?: Error };

export type ChildStatus = 'starting' | 'running' | 'stopping' | 'waiting' | 'stopped';

/** One child as the snapshot shows it. `ref` is this incarnation's; after a restart it is another one. */
export interface ChildView {
  readonly id: string;
  /** `waiting`: to be restarted after its back-off, or once its siblings have stopped. */
  readonly status: ChildStatus;
  readonly restarts: number;
  readonly ref: AnyActorRef | undefined;
}

/** In start order. The counts are those of OTP's `count_children`; `active` children are alive. */
export interface SupervisorContext {
  readonly children: readonly ChildView[];
  readonly counts: {
    readonly specs: number;
    readonly active: number;
    readonly supervisors: number;
    readonly workers: number;
  };
}

export type SupervisorSnapshot = ContextSnapshot<SupervisorContext>;
