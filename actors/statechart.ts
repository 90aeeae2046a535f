import {
  createActor,
  fromPromise,
  type ActorScope,
  type AnyActorLogic,
  type AnyActorRef,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type ExecutableActionObject,
} from 'xstate';
import { SchedulerLogicError } from '../src/model/errors.js';
import type { ChartEvent, Effect, Statechart, Step } from '../src/model/statechart.js';

type Scope = ActorScope<AnyMachineSnapshot, ChartEvent>;

const SAME_TURN_MAX = 1_000;

/**
 * An XState machine as pure functions: actions come back as data, nothing is started. SchedulerLogicError if it invokes what is
 * no promise: only that can be started again by another master.
 */
export function createStatechart(machine: AnyStateMachine): Statechart {
  checkInvokes(machine);
  // The eager start inside of createActor is nobody's: it only lends its identity to `self`.
  const self = createActor(machine as AnyActorLogic);
  self.subscribe({ error: () => {} });
  const scopeOf = (actions: ExecutableActionObject[]): Scope => ({
    self: self as Scope['self'],
    system: self.system,
    id: machine.id,
    sessionId: self.sessionId,
    logger: () => {},
    defer: () => {},
    emit: () => {},
    stopChild: () => {},
    actionExecutor: (action) => void actions.push(action),
  });

  const go = (before: AnyMachineSnapshot | undefined, given: unknown): Step => {
    const effects: Effect[] = [];
    const events: ChartEvent[] = [];
    let snapshot = before;
    for (let round = 0; !snapshot || round === 0 || events.length > 0; round++) {
      if (round > SAME_TURN_MAX)
        throw new SchedulerLogicError('The machine sends itself events without end.');
      const actions: ExecutableActionObject[] = [];
      const scope = scopeOf(actions);
      const last = snapshot;
      if (!snapshot) snapshot = machine.getInitialSnapshot(scope as never, given) as AnyMachineSnapshot;
      else
        snapshot = machine.transition(
          snapshot,
          round === 0 && before ? given : events.shift(),
          scope as never,
        ) as AnyMachineSnapshot;
      if (snapshot.status === 'error') throw snapshot.error;
      for (const action of actions) addEffect(action, self, effects, events);
      if (snapshot.children !== last?.children)
        checkChildren(childrenOf(snapshot), last ? childrenOf(last) : {}, effects);
    }
    return { snapshot, effects };
  };

  return {
    logic: machine,
    start: (input) => go(undefined, input),
    // One that has ended takes no events, as an actor does not.
    step: (snapshot, event) =>
      snapshot.status === 'active' ? go(snapshot as AnyMachineSnapshot, event) : { snapshot, effects: [] },
    persist: (snapshot) => machine.getPersistedSnapshot(snapshot as AnyMachineSnapshot),
    restore: (persisted) => {
      const actor = createActor(machine as AnyActorLogic, { snapshot: persisted as never });
      actor.subscribe({ error: () => {} });
      const snapshot = actor.getSnapshot() as AnyMachineSnapshot;
      if (snapshot.status === 'error') throw snapshot.error;
      return snapshot;
    },
    work: (snapshot, id, input, signal) => {
      const child = childrenOf(snapshot as AnyMachineSnapshot)[id];
      if (!child)
        return Promise.reject(new SchedulerLogicError(`The machine has invoked nothing as "${id}".`));
      return runPromise(child.logic, input, signal);
    },
  };
}

/** What an action asks for. What an invoked child shall get goes to nobody: a promise takes no events. */
function addEffect(
  { type, info, params = {}, exec }: ExecutableActionObject,
  self: unknown,
  effects: Effect[],
  events: ChartEvent[],
): void {
  const given = params as Record<string, unknown>;
  const event = given.event as ChartEvent;
  const delayMs = given.delay as number | undefined;
  switch (type) {
    case 'xstate.emit': {
      if (event.type !== 'publish') return;
      const { topic, data, headers } = event as unknown as Record<string, unknown>;
      effects.push({ type: 'publish', topic, data, headers });
      return;
    }
    case 'xstate.raise':
      // Without a delay it is part of the transition.
      if (delayMs !== undefined) effects.push({ type: 'timer', id: timerId(given), event, delayMs });
      return;
    case 'xstate.sendTo':
      if (given.to !== self) throw new SchedulerLogicError('A scheduler sends events to itself alone.');
      if (delayMs === undefined) events.push(event);
      else effects.push({ type: 'timer', id: timerId(given), event, delayMs });
      return;
    case 'xstate.cancel':
      effects.push({ type: 'cancel', id: String(given.sendId) });
      return;
    case 'xstate.spawnChild': {
      const { id, src, input, actorRef } = given;
      if (!actorRef || typeof id !== 'string' || typeof src !== 'string' || !isPromise(logicOf(actorRef)))
        throw childRefused(String(id));
      effects.push({ type: 'invoke', id, input });
      return;
    }
    case 'xstate.stopChild':
      if (given.id !== undefined) effects.push({ type: 'stop', id: given.id as string });
      return;
    case 'xstate.log':
      return;
    default:
      // XState's own type for what runs is wider than what an inline action is.
      if (typeof exec === 'function') {
        const run = exec as unknown as (info: unknown, params: unknown) => void;
        effects.push({ type: 'run', run: () => run(info, params) });
      }
  }
}

function timerId({ id }: Record<string, unknown>): string | undefined {
  return typeof id === 'string' ? id : undefined;
}

type Children = Readonly<Record<string, AnyActorRef & { readonly logic: AnyActorLogic }>>;

function childrenOf(snapshot: AnyMachineSnapshot): Children {
  return snapshot.children as Children;
}

/** `spawn` inside of `assign` leaves no action behind. */
function checkChildren(children: Children, before: Children, effects: readonly Effect[]): void {
  for (const id in children)
    if (
      children[id] !== before[id] &&
      !effects.some((effect) => effect.type === 'invoke' && effect.id === id)
    )
      throw childRefused(id);
}

function childRefused(id: string): SchedulerLogicError {
  return new SchedulerLogicError(
    `Child "${id}" cannot be part of a scheduler: only invoked promises can, since another master can start them again. ` +
      'Let messages do the rest: publish what shall be done, and bind to the answer.',
  );
}

function checkInvokes(machine: AnyStateMachine): void {
  const actors = machine.implementations.actors as Record<string, unknown>;
  const look = (config: Record<string, unknown>): void => {
    const invokes = config.invoke === undefined ? [] : [config.invoke].flat();
    for (const { src, id } of invokes as { src: unknown; id?: string }[])
      if (!isPromise(typeof src === 'string' ? actors[src] : src))
        throw childRefused(id ?? (typeof src === 'string' ? src : '(inline)'));
    for (const { systemId } of invokes as { systemId?: string }[])
      if (systemId !== undefined)
        throw new SchedulerLogicError(
          `"${systemId}": an invoke of a scheduler has no systemId, its master has no such system.`,
        );
    for (const state of Object.values((config.states ?? {}) as Record<string, Record<string, unknown>>))
      look(state);
  };
  look(machine.config as Record<string, unknown>);
}

function logicOf(ref: unknown): unknown {
  return (ref as { logic?: unknown }).logic;
}

/** XState gives logic no name of its kind, but all promises share the code of one function. */
const PROMISE = String(fromPromise(() => Promise.resolve()).transition);

function isPromise(logic: unknown): boolean {
  if (typeof logic !== 'object' || logic === null || !('transition' in logic)) return false;
  return String(logic.transition) === PROMISE;
}

function runPromise(logic: AnyActorLogic, input: unknown, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const actor = createActor(logic, { input });
    const stop = () => {
      actor.stop();
      reject(signal.reason as Error);
    };
    const done = () => signal.removeEventListener('abort', stop);
    actor.subscribe({
      next: (snapshot: { status: string; output?: unknown }) => {
        if (snapshot.status !== 'done') return;
        done();
        resolve(snapshot.output);
      },
      error: (error: unknown) => {
        done();
        reject(error);
      },
    });
    if (signal.aborted) return reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    actor.start();
  });
}
