import {
  createActor,
  fromCallback,
  fromPromise,
  type AnyActor,
  type AnyEventObject,
  type AnyStateMachine,
} from 'xstate';
import { Deferred } from '../../src/flow/deferred.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';

/** One step of a test: what the outside does next. */
export type Step =
  | { send: AnyEventObject }
  | { resolve: string; with?: unknown }
  | { reject: string; with?: unknown }
  | { tell: string; event: AnyEventObject }
  | { passMs: number };

/** A machine with every slot in the test's hand, a virtual clock, and a record of the arrows it has taken. */
export class MachineLab {
  readonly actor: AnyActor;
  readonly clock = new VirtualClock();
  readonly taken: Set<string>;
  readonly said: { name: string; params: unknown }[] = [];
  readonly #promises = new Map<string, Deferred<unknown>>();
  readonly #resources = new Map<string, (event: AnyEventObject) => void>();
  error: unknown;

  /** Slots named in `resources` live with their state; all others end once: promises, and child actors. */
  constructor(
    machine: AnyStateMachine,
    options: { input?: unknown; resources: readonly string[]; news?: readonly string[]; taken: Set<string> },
  ) {
    this.taken = options.taken;
    const actors: Record<string, unknown> = {};
    for (const name of Object.keys(machine.implementations.actors as object))
      actors[name] = options.resources.includes(name) ? this.#resourceSlot(name) : this.#promiseSlot(name);
    const provided = machine.provide({
      actors: actors as never,
      // What is said to a parent is recorded: here there is none.
      actions: Object.fromEntries(
        ['report', ...(options.news ?? [])].map((name) => [
          name,
          (_: unknown, params: unknown) => void this.said.push({ name, params }),
        ]),
      ),
    });
    this.actor = createActor(provided, {
      input: options.input,
      clock: this.clock,
      inspect: (event) => {
        if (event.type !== '@xstate.microstep' || event.actorRef !== this.actor) return;
        for (const arrow of event._transitions as unknown as Arrow[]) this.taken.add(nameOf(arrow));
      },
    });
    this.actor.subscribe({ error: (error) => (this.error = error) });
    this.actor.start();
  }

  get state(): string {
    const snapshot = this.actor.getSnapshot() as { status: string; value: unknown };
    return snapshot.status === 'error' ? 'crashed' : pathOf(snapshot.value);
  }

  async step(step: Step): Promise<void> {
    if ('send' in step) this.actor.send(step.send);
    else if ('resolve' in step) this.#take(step.resolve).resolve(step.with);
    else if ('reject' in step) this.#take(step.reject).reject(step.with ?? new Error('refused'));
    else if ('tell' in step) this.#resource(step.tell)(step.event);
    else this.clock.advanceAtOnce(step.passMs);
    // A settled promise reaches its actor some microtasks later.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** The slots that are held now. */
  get held(): string[] {
    return [...this.#promises.keys(), ...this.#resources.keys()];
  }

  #take(slot: string): Deferred<unknown> {
    const deferred = this.#promises.get(slot);
    if (!deferred) throw new Error(`Nobody waits for "${slot}" in state ${this.state}.`);
    this.#promises.delete(slot);
    return deferred;
  }

  #resource(slot: string): (event: AnyEventObject) => void {
    const tell = this.#resources.get(slot);
    if (!tell) throw new Error(`Nobody holds "${slot}" in state ${this.state}.`);
    return tell;
  }

  #promiseSlot(name: string): unknown {
    return fromPromise(({ signal }) => {
      const deferred = new Deferred<unknown>();
      this.#promises.set(name, deferred);
      signal.addEventListener('abort', () => {
        if (this.#promises.get(name) === deferred) this.#promises.delete(name);
      });
      return deferred.promise;
    });
  }

  #resourceSlot(name: string): unknown {
    return fromCallback(({ sendBack }) => {
      this.#resources.set(name, sendBack);
      return () => {
        if (this.#resources.get(name) === sendBack) this.#resources.delete(name);
      };
    });
  }
}

interface Arrow {
  readonly eventType: string;
  readonly source: {
    readonly id: string;
    readonly transitions: Map<string, Arrow[]>;
    readonly always?: Arrow[];
  };
}

/** Every arrow of a machine, by name. */
export function arrowsOf(machine: AnyStateMachine): string[] {
  const arrows: string[] = [];
  const walk = (node: AnyStateMachine['root']): void => {
    for (const list of node.transitions.values()) for (const arrow of list) arrows.push(nameOf(arrow));
    for (const arrow of node.always ?? []) arrows.push(nameOf(arrow));
    for (const child of Object.values(node.states)) walk(child);
  };
  walk(machine.root);
  return arrows;
}

function nameOf(arrow: Arrow): string {
  const list =
    arrow.eventType === ''
      ? (arrow.source.always ?? [])
      : (arrow.source.transitions.get(arrow.eventType) ?? []);
  const position = list.findIndex((other) => other === arrow);
  return `${arrow.source.id} --${arrow.eventType || 'always'}[${position}]-->`;
}

function pathOf(value: unknown): string {
  if (typeof value === 'string') return value;
  const [key, inner] = Object.entries(value as Record<string, unknown>)[0]!;
  return `${key}.${pathOf(inner)}`;
}
