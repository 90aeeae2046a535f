import type { AnyActorScope, Snapshot } from 'xstate';
import type { SupervisorEmitted } from './protocol.js';

/** The snapshot of an actor that is no machine: a status and a context. */
export type ContextSnapshot<TContext> = Snapshot<undefined> & { readonly context: TContext };

/** What an actor shows of itself: its snapshot, and what it emitted on the way to it. */
export class Display<TContext> {
  readonly #scope: AnyActorScope;
  #snapshot: ContextSnapshot<TContext>;
  #emitted: SupervisorEmitted[] = [];

  constructor(scope: AnyActorScope, context: TContext) {
    this.#scope = scope;
    this.#snapshot = { status: 'active', output: undefined, error: undefined, context };
  }

  get snapshot(): ContextSnapshot<TContext> {
    return this.#snapshot;
  }

  emit(event: SupervisorEmitted): void {
    this.#emitted.push(event);
  }

  /** The same snapshot as before if nothing has changed. Listeners hear what was emitted once it is in place. */
  show(status: Snapshot<unknown>['status'], context: TContext, error?: unknown): ContextSnapshot<TContext> {
    const emitted = this.#emitted;
    if (emitted.length > 0) {
      this.#emitted = [];
      this.#scope.defer(() => emitted.forEach((event) => this.#scope.emit(event)));
    }
    if (status !== this.#snapshot.status || context !== this.#snapshot.context) {
      this.#snapshot = { status, output: undefined, error, context } as ContextSnapshot<TContext>;
    }
    return this.#snapshot;
  }
}
