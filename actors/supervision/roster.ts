import type { Alarm } from './alarms.js';
import type { CheckedSpec } from './child-spec.js';
import type { Incarnation } from './incarnation.js';
import type { ChildStatus, ChildView, SupervisorContext } from './protocol.js';
import type { RestartWindow } from './restart-window.js';

/** What a supervisor knows of a child. Its `status` is changed by `Roster.show` only. */
export interface Child {
  readonly id: string;
  readonly spec: CheckedSpec;
  readonly dynamic: boolean;
  status: ChildStatus;
  restarts: number;
  /** Present from the start until its end was noted. */
  incarnation: Incarnation | undefined;
  /** What it becomes when this incarnation has ended, if the supervisor wants that end; undefined if the end is its own doing. */
  fate: 'waiting' | 'stopped' | undefined;
  /** Rings at the deadline of a stopping child and at the restart of a waiting one. */
  alarm: Alarm | undefined;
  /** A dynamic child's own budget, made at its first restart. */
  window: RestartWindow | undefined;
  view: ChildView;
}

/** The children in start order, static ones first, and the picture of them that snapshots show. */
export class Roster {
  readonly #children = new Map<string, Child>();
  #views: ChildView[] = [];
  #counts = { specs: 0, active: 0, supervisors: 0, workers: 0 };
  #dynamics = 0;
  #context: SupervisorContext | undefined;

  /** How many dynamic children there are, whatever their status. */
  get dynamics(): number {
    return this.#dynamics;
  }

  get(id: string): Child | undefined {
    return this.#children.get(id);
  }

  [Symbol.iterator](): IterableIterator<Child> {
    return this.#children.values();
  }

  reversed(): Child[] {
    return [...this.#children.values()].reverse();
  }

  add(spec: CheckedSpec, options: { dynamic: boolean }): Child {
    const view: ChildView = { id: spec.id, status: 'starting', restarts: 0, ref: undefined };
    const child: Child = {
      id: spec.id,
      spec,
      dynamic: options.dynamic,
      status: 'starting',
      restarts: 0,
      incarnation: undefined,
      fate: undefined,
      alarm: undefined,
      window: undefined,
      view,
    };
    this.#children.set(spec.id, child);
    this.#draft().push(view);
    this.#count(child, 1);
    return child;
  }

  forget(child: Child): void {
    this.#children.delete(child.id);
    const views = this.#draft();
    views.splice(views.lastIndexOf(child.view), 1);
    this.#count(child, -1);
  }

  show(child: Child, status: ChildStatus): void {
    const { id, restarts, view: before } = child;
    child.status = status;
    child.view = { id, status, restarts, ref: child.incarnation?.ref };
    const views = this.#draft();
    // From the end: what was started last changes most.
    views[views.lastIndexOf(before)] = child.view;
    this.#counts.active += Number(isAlive(child.view)) - Number(isAlive(before));
  }

  /** The picture now: never changed afterwards, and the same object until something changes. */
  context(): SupervisorContext {
    return (this.#context ??= { children: this.#views, counts: { ...this.#counts } });
  }

  #count(child: Child, by: 1 | -1): void {
    this.#counts.specs += by;
    if (child.dynamic) this.#dynamics += by;
    this.#counts[child.spec.supervisor ? 'supervisors' : 'workers'] += by;
    if (isAlive(child.view)) this.#counts.active += by;
  }

  /** Copies the list when a snapshot already shows it, so at most once an event. */
  #draft(): ChildView[] {
    if (this.#context) {
      this.#views = this.#views.slice();
      this.#context = undefined;
    }
    return this.#views;
  }
}

function isAlive(view: ChildView): boolean {
  return view.ref !== undefined;
}
