import type { ActorLogic, ActorScope, AnyActorRef, NonReducibleUnknown } from 'xstate';
import { handleErrors } from './incarnation.js';
import type { ContextSnapshot } from './display.js';
import type { SupervisorEmitted, SupervisorEvent } from './protocol.js';

type System = AnyActorRef['system'];

/** What an engine's actor lends it. */
export type EngineScope<TContext> = ActorScope<
  ContextSnapshot<TContext>,
  SupervisorEvent,
  System,
  SupervisorEmitted
>;

/** Logic for `createActor`, `invoke` and `spawn`; it takes no input. */
export type EngineLogic<TContext> = ActorLogic<
  ContextSnapshot<TContext>,
  SupervisorEvent,
  NonReducibleUnknown,
  System,
  SupervisorEmitted
>;

/**
 * What runs inside an actor that owns other actors. It is no machine: a machine copies the record of its children at each spawn and
 * stop, so 10,000 of them cost 14 s and 14 s.
 */
export interface Engine<TContext> {
  readonly snapshot: ContextSnapshot<TContext>;
  /** Never throws. */
  take(event: { readonly type: string }): ContextSnapshot<TContext>;
  /** The actor is stopped by force, and so is what it owns. */
  stop(): ContextSnapshot<TContext>;
}

/** Actor logic with an engine for each actor. */
export function engineLogic<TContext>(
  config: object,
  create: (scope: EngineScope<TContext>) => Engine<TContext>,
): EngineLogic<TContext> {
  const engines = new WeakMap<AnyActorRef, Engine<TContext>>();
  const begin = (scope: EngineScope<TContext>): ContextSnapshot<TContext> => {
    handleErrors(scope.self);
    const engine = create(scope);
    engines.set(scope.self, engine);
    return engine.snapshot;
  };
  return {
    config,
    getInitialSnapshot: begin,
    start: (_, { self }) => {
      // A root that nobody subscribed to would throw its error at the process.
      self.subscribe({});
      // The work begins in the first transition: only there can the snapshot show it.
      (self as AnyActorRef).send({ type: 'supervisor.start' });
    },
    transition: (snapshot, event: { readonly type: string }, { self }) => {
      const engine = engines.get(self);
      if (!engine) return snapshot;
      return event.type === 'xstate.stop' ? engine.stop() : engine.take(event);
    },
    getPersistedSnapshot: (snapshot) => snapshot,
    // Actors and timers cannot be restored: what was running begins anew.
    restoreSnapshot: (persisted, scope) =>
      persisted.status === 'active' ? begin(scope) : (persisted as ContextSnapshot<TContext>),
  };
}
