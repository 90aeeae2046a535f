import type { AnyActorLogic, InputFrom, NonReducibleUnknown } from 'xstate';
import { OptionError } from '../../src/model/errors.js';
import { TIMER_MAX_MS } from './alarms.js';

/** `always`: whenever it ends. `on-crash`: when it crashed. `never`: not even when a sibling's crash stops it. */
export type RestartPolicy = 'always' | 'on-crash' | 'never';

/** Which end of a significant child ends its supervisor. */
export type AutoShutdown = 'never' | 'any-significant' | 'all-significant';

/** One run of a child, between two restarts. */
export interface IncarnationInfo {
  /** Aborts when this run is over, however it ended. A crashed machine does not stop its own children: this does. */
  readonly signal: AbortSignal;
  readonly restarts: number;
}

/** Whether a child that ended by itself is started again. */
export function isRestarted(policy: RestartPolicy, crashed: boolean): boolean {
  return policy === 'always' || (policy === 'on-crash' && crashed);
}

/** What the logic wants; of logic that is not known, anything. */
type InputOf<TLogic extends AnyActorLogic> = 0 extends 1 & InputFrom<TLogic>
  ? NonReducibleUnknown
  : InputFrom<TLogic>;

/** A child as its supervisor is told of it. */
export interface ChildSpec<TLogic extends AnyActorLogic = AnyActorLogic> {
  /** Unique in its supervisor; also the actor's `id`. */
  readonly id: string;
  readonly logic: TLogic;
  /** A value, or a function called for each incarnation (so an input that is a function itself needs one around it). */
  readonly input?: InputOf<TLogic> | ((incarnation: IncarnationInfo) => InputOf<TLogic>);
  /** Default `always`. */
  readonly restart?: RestartPolicy;
  /**
   * From the request to stop until it is stopped by force; 0: at once. A function is asked at that request. Default 5,000; of
   * a supervisor `Infinity`.
   */
  readonly shutdownMs?: number | (() => number);
  /** Its own end may end the supervisor: see `autoShutdown`. */
  readonly significant?: boolean;
}

/** A checked spec, defaults filled in. */
export interface CheckedSpec extends Required<Omit<ChildSpec, 'input' | 'shutdownMs'>> {
  readonly input: (incarnation: IncarnationInfo) => unknown;
  readonly shutdownMs: () => number;
  readonly supervisor: boolean;
  /** Whether it takes events and can reach a final state, so that asking it to stop makes sense. */
  readonly asked: boolean;
}

const DEFAULT_SHUTDOWN_MS = 5_000;
const POLICIES: readonly unknown[] = ['always', 'on-crash', 'never'];

/** The mark by which a supervisor knows another: valid in a machine's config too, so any inspector can show it. */
export function supervisorConfig(id: string, settings: object): { id: string; meta: { supervisor: object } } {
  return { id, meta: { supervisor: settings } };
}

function isSupervisor(logic: AnyActorLogic): boolean {
  const config = logic.config as { meta?: { supervisor?: unknown } } | undefined;
  return typeof config === 'object' && config?.meta?.supervisor !== undefined;
}

/** Throws an `OptionError` that says what is wrong with it. */
export function checkSpec(spec: ChildSpec, autoShutdown: AutoShutdown): CheckedSpec {
  const { id, logic, input, restart = 'always', significant = false } = spec ?? {};
  if (typeof id !== 'string' || id === '') {
    throw new OptionError('A child has no id. Give it a string that is unique in its supervisor.');
  }
  const wrong = (text: string): OptionError => new OptionError(`Child "${id}": ${text}`);
  if (typeof logic?.transition !== 'function' || typeof logic.getInitialSnapshot !== 'function') {
    throw wrong('`logic` is no actor logic. Pass a machine, or what fromPromise and its like return.');
  }
  if (!POLICIES.includes(restart)) {
    throw wrong(`\`restart\` is ${restart}. Use 'always', 'on-crash' or 'never'.`);
  }
  const supervisor = isSupervisor(logic);
  const { shutdownMs = supervisor ? Infinity : DEFAULT_SHUTDOWN_MS } = spec;
  if (typeof shutdownMs !== 'function' && !isShutdown(shutdownMs)) {
    throw wrong(`\`shutdownMs\` is ${String(shutdownMs)}. Use 0 to ${TIMER_MAX_MS}, or Infinity.`);
  }
  if (typeof significant !== 'boolean') throw wrong('`significant` must be true or false.');
  if (significant && restart === 'always') {
    throw wrong("`significant` makes no sense with `restart: 'always'`, which never ends for good.");
  }
  if (significant && autoShutdown === 'never') {
    throw wrong("`significant` needs a supervisor whose `autoShutdown` is not 'never'.");
  }
  // The logic of promises, callbacks, observables and transition functions has the user's function as its config; a machine has
  // an object. The former either ignore events or have no final state, so only force ends them.
  const asked = typeof logic.config !== 'function';
  const inputOf = typeof input === 'function' ? (input as CheckedSpec['input']) : () => input;
  const shutdownOf = typeof shutdownMs === 'function' ? () => shutdownAsked(shutdownMs) : () => shutdownMs;
  return { id, logic, input: inputOf, restart, shutdownMs: shutdownOf, significant, supervisor, asked };
}

function isShutdown(shutdownMs: number): boolean {
  return shutdownMs === Infinity || (shutdownMs >= 0 && shutdownMs <= TIMER_MAX_MS);
}

/** It is too late to refuse what a function says: what makes no sense is the default. */
function shutdownAsked(ask: () => number): number {
  try {
    const shutdownMs = ask();
    return isShutdown(shutdownMs) ? shutdownMs : DEFAULT_SHUTDOWN_MS;
  } catch {
    return DEFAULT_SHUTDOWN_MS;
  }
}

/** Throws an `OptionError` that names the repeated id. */
export function checkSpecs(specs: readonly ChildSpec[], autoShutdown: AutoShutdown): readonly CheckedSpec[] {
  const ids = new Set<string>();
  return specs.map((spec) => {
    const checked = checkSpec(spec, autoShutdown);
    if (ids.has(checked.id))
      throw new OptionError(`Child "${checked.id}" is there twice. Give each child its own id.`);
    ids.add(checked.id);
    return checked;
  });
}
