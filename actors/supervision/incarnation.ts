import {
  createActor,
  type AnyActorRef,
  type AnyActorScope,
  type Observer,
  type Snapshot,
  type Subscription,
} from 'xstate';
import { StoppedError } from '../../src/model/errors.js';
import type { CheckedSpec, IncarnationInfo } from './child-spec.js';

/** How an incarnation ended. */
export type Outcome =
  | { readonly type: 'ended'; readonly output: unknown }
  | { readonly type: 'crashed'; readonly error: unknown }
  | { readonly type: 'killed' };

/**
 * One run of a child: its actor and its AbortSignal. Nothing here throws, whatever the child's code does.
 *
 * The actor is made with `createActor({ parent })` and not spawned by a machine: that joins the parent's system and inspector and
 * reports its end to the parent, but costs the same however many siblings there are. It is the parent's duty to stop it.
 */
export class Incarnation implements IncarnationInfo {
  readonly restarts: number;
  readonly #spec: CheckedSpec;
  readonly #scope: AnyActorScope;
  #ref: AnyActorRef | undefined;
  #controller: AbortController | undefined;
  /** Set when it did not even become an actor. */
  #failure: Outcome | undefined;
  #released = false;

  constructor(options: { spec: CheckedSpec; scope: AnyActorScope; restarts: number }) {
    this.#spec = options.spec;
    this.#scope = options.scope;
    this.restarts = options.restarts;
  }

  get ref(): AnyActorRef | undefined {
    return this.#ref;
  }

  /** Made on first use: most children never ask for it. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#released) this.#abort();
    }
    return this.#controller.signal;
  }

  start(): void {
    const { id, logic, input } = this.#spec;
    try {
      const ref = createActor(logic, { parent: this.#scope.self, id, input: input(this) });
      this.#ref = ref;
      handleErrors(ref);
      ref.start();
    } catch (error) {
      this.kill();
      this.#failure = { type: 'crashed', error };
    }
  }

  /** How it ended, or undefined while it is alive. Asked for instead of trusted to an event, which may be about a former incarnation. */
  outcome(): Outcome | undefined {
    if (this.#failure) return this.#failure;
    const snapshot = this.#ref?.getSnapshot() as Snapshot<unknown> | undefined;
    switch (snapshot?.status) {
      case 'done':
        return { type: 'ended', output: snapshot.output };
      case 'error':
        return { type: 'crashed', error: snapshot.error };
      case 'stopped':
        return { type: 'ended', output: undefined };
      default:
        return undefined;
    }
  }

  /** Asks it to end, or makes it end if asking is of no use. Undefined while it takes its time. */
  end(shutdownMs: number): Outcome | undefined {
    if (!this.#spec.asked) return this.#force({ type: 'ended', output: undefined });
    if (shutdownMs === 0) return this.kill();
    if (!this.outcome()) this.#ref?.send({ type: 'supervisor.stop' });
    return this.outcome();
  }

  kill(): Outcome {
    return this.#force({ type: 'killed' });
  }

  /** A child in the middle of an event, because that event led here, stops right after it. A clean-up that throws is a crash. */
  #force(usual: Outcome): Outcome {
    const before = this.outcome();
    if (before) return before;
    try {
      if (this.#ref) this.#scope.stopChild(this.#ref);
    } catch {
      // Only an inspector can throw here, after the child has stopped.
    }
    const after = this.outcome();
    return after?.type === 'crashed' ? after : usual;
  }

  /** Its end was noted: aborts the signal and lets go of the actor. */
  release(): void {
    this.#released = true;
    this.#ref = undefined;
    if (this.#controller) this.#abort();
  }

  #abort(): void {
    this.#controller?.abort(new StoppedError(`This run of child "${this.#spec.id}" has ended.`));
  }
}

/**
 * A supervisor handles its children's errors, so they are not unhandled: without this XState would throw them at the process when
 * somebody subscribed to the actor without an error listener, or to a root without subscribing at all.
 */
export function handleErrors(actor: AnyActorRef): void {
  actor.subscribe = subscribeHandled;
}

const handled = (): void => {};

/** One function for all actors: there may be very many of them. */
function subscribeHandled(
  this: AnyActorRef,
  next?: Observer<unknown> | ((snapshot: unknown) => void),
  error?: (error: unknown) => void,
  complete?: () => void,
): Subscription {
  const { subscribe } = Object.getPrototypeOf(this) as {
    subscribe: (this: AnyActorRef, observer: object) => Subscription;
  };
  const observer = typeof next === 'object' ? next : { next, error, complete };
  return subscribe.call(this, {
    next: observer.next?.bind(observer),
    error: observer.error?.bind(observer) ?? handled,
    complete: observer.complete?.bind(observer),
  });
}
