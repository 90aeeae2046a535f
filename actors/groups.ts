import type { AnyActorRef } from 'xstate';
import { toError } from '../src/model/errors.js';
import { checkSpec, supervisorConfig, type ChildSpec } from './supervision/child-spec.js';
import { engineLogic, type Engine, type EngineScope } from './supervision/engine.js';
import type {
  RefusalCode,
  SupervisorContext,
  SupervisorEmitted,
  SupervisorEvent,
  SupervisorSnapshot,
} from './supervision/protocol.js';
import { idOf } from './supervision/request.js';
import { check, checkOptions, type RestartOptions } from './supervision/settings.js';
import { Supervision } from './supervision/supervision.js';
import { createSupervisor, type SupervisorLogic } from './supervisor.js';

export interface GroupsOptions extends RestartOptions {
  /** At most as many children in a group. Default 100. */
  readonly groupSize?: number;
}

/**
 * Actor logic that takes and emits what a one-for-one supervisor of dynamic children does, and keeps them in groups of at most
 * `groupSize`. Each group is a supervisor, made when it is needed and removed when it is empty; the snapshot shows the groups as
 * its children. So a picture of the tree stays readable, and a start or an end costs the same with 10,000 other children.
 *
 * `stop` ends all groups at once; it is `done` when all have ended. Throws an `OptionError` for options that make no sense.
 */
export function createGroups(options: GroupsOptions = {}): SupervisorLogic {
  const { groupSize = 100, ...restartOptions } = options;
  check(Number.isSafeInteger(groupSize) && groupSize > 0, { groupSize }, 'a whole number from 1');
  const { limits } = checkOptions(restartOptions);
  const logic = createSupervisor(restartOptions);
  const config = supervisorConfig('groups', { groupSize, ...limits });
  return engineLogic(config, (scope) => new Groups(scope, { groupSize, logic }));
}

interface Group {
  readonly id: string;
  readonly ref: AnyActorRef;
  /** Its children, and those on their way in. */
  size: number;
}

/** Groups tell of their children while it works and at any other time; it looks into that in its turn. */
type OwnEvent = { type: 'groups.heard' };

class Groups implements Engine<SupervisorContext> {
  readonly #scope: EngineScope<SupervisorContext>;
  readonly #groupSize: number;
  readonly #logic: SupervisorLogic;
  /** Of the groups. What it would emit about them is nobody's concern. */
  readonly #supervision: Supervision;
  readonly #groupOf = new Map<string, Group>();
  readonly #withRoom = new Set<Group>();
  #made = 0;
  #stopping = false;
  #busy = false;
  #heard: { readonly group: Group; readonly event: SupervisorEmitted }[] = [];

  constructor(scope: EngineScope<SupervisorContext>, options: { groupSize: number; logic: SupervisorLogic }) {
    this.#scope = scope;
    this.#groupSize = options.groupSize;
    this.#logic = options.logic;
    this.#supervision = new Supervision({ ...scope, emit: () => {} }, checkOptions({}));
  }

  get snapshot(): SupervisorSnapshot {
    return this.#supervision.snapshot;
  }

  take(event: SupervisorEvent | OwnEvent): SupervisorSnapshot {
    this.#busy = true;
    try {
      this.#handle(event);
      this.#passOn();
    } catch (error) {
      // Only what was passed in, an inspector, throws here.
      this.#supervision.fail(error);
      this.#passOn();
    }
    this.#busy = false;
    return this.snapshot;
  }

  stop(): SupervisorSnapshot {
    this.#busy = true;
    this.#supervision.stop();
    this.#passOn();
    return this.snapshot;
  }

  #handle(event: SupervisorEvent | OwnEvent): void {
    switch (event.type) {
      case 'groups.heard':
        return;
      case 'child.start':
        return this.#start(event.child);
      case 'child.stop':
      case 'child.restart':
      case 'child.delete': {
        const group = this.#groupOf.get(event.id);
        if (group) group.ref.send(event);
        else this.#refuse(event.type, event.id, 'not-found');
        return;
      }
      case 'stop':
      case 'supervisor.stop':
        this.#stopping = true;
    }
    this.#supervision.take(event);
  }

  #start(child: ChildSpec): void {
    const id = idOf(child);
    try {
      checkSpec(child, 'never');
    } catch (error) {
      return this.#refuse('child.start', id, 'invalid', toError(error));
    }
    if (this.#stopping) return this.#refuse('child.start', id, 'stopping');
    // A group that knows the id already refuses the child itself.
    (this.#groupOf.get(id) ?? this.#admit(id)).ref.send({ type: 'child.start', child });
  }

  /** Takes a place for a new child. */
  #admit(id: string): Group {
    const [group = this.#make()] = this.#withRoom;
    this.#groupOf.set(id, group);
    group.size += 1;
    if (group.size >= this.#groupSize) this.#withRoom.delete(group);
    return group;
  }

  #make(): Group {
    this.#made += 1;
    const id = `group-${this.#made}`;
    this.#supervision.take({ type: 'child.start', child: { id, logic: this.#logic, restart: 'never' } });
    const ref = this.snapshot.context.children.at(-1)?.ref;
    if (!ref) throw new Error(`Group "${id}" did not start.`);
    const group: Group = { id, ref, size: 0 };
    ref.on('*', (event: SupervisorEmitted) => {
      this.#heard.push({ group, event });
      if (!this.#busy) (this.#scope.self as AnyActorRef).send({ type: 'groups.heard' });
    });
    this.#withRoom.add(group);
    return group;
  }

  #passOn(): void {
    const heard = this.#heard;
    if (heard.length === 0) return;
    this.#heard = [];
    for (const { group, event } of heard) this.#forget(group, event.id);
    this.#scope.defer(() => heard.forEach(({ event }) => this.#scope.emit(event)));
  }

  /** Frees the place of a child that its group has forgotten. */
  #forget(group: Group, id: string): void {
    const { children } = (group.ref.getSnapshot() as SupervisorSnapshot).context;
    if (this.#groupOf.get(id) !== group || children.some((child) => child.id === id)) return;
    this.#groupOf.delete(id);
    group.size -= 1;
    this.#withRoom.add(group);
    // One that ends with all the others says so itself.
    if (group.size > 0 || this.#stopping) return;
    this.#withRoom.delete(group);
    this.#supervision.take({ type: 'child.stop', id: group.id });
  }

  #refuse(request: string, id: string, code: RefusalCode, error?: Error): void {
    const event: SupervisorEmitted = { type: 'child.refused', request, id, code, ...(error && { error }) };
    this.#scope.defer(() => this.#scope.emit(event));
  }
}
