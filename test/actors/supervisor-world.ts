import {
  createActor,
  fromCallback,
  setup,
  type Actor,
  type AnyActorLogic,
  type AnyActorRef,
  type Snapshot,
} from 'xstate';
import type { ChildSpec, IncarnationInfo } from '../../actors/supervision/child-spec.js';
import type { SupervisorEmitted } from '../../actors/supervision/protocol.js';
import { createSupervisor, type SupervisorLogic } from '../../actors/supervisor.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';

/** How a worker takes a request to stop: at once, when told to `finish`, or not at all. */
export type Manner = 'prompt' | 'slow' | 'stubborn';

interface WorkerInput {
  readonly id: string;
  readonly manner: Manner;
  readonly incarnation: IncarnationInfo;
  readonly log: string[];
}

const worker = setup({
  types: {
    input: {} as WorkerInput,
    context: {} as WorkerInput,
    output: {} as string,
    events: {} as { type: 'crash'; error?: unknown } | { type: 'end' | 'finish' | 'supervisor.stop' },
  },
  actions: {
    begin: ({ context: { id, incarnation, log } }) => {
      log.push(`+${id}`);
      incarnation.signal.addEventListener('abort', () => log.push(`-${id}`));
    },
    crash: ({ event, context }) => {
      throw (event.type === 'crash' && event.error) || new Error(`${context.id} crashed`);
    },
  },
  guards: {
    isPrompt: ({ context }) => context.manner === 'prompt',
    isSlow: ({ context }) => context.manner === 'slow',
  },
}).createMachine({
  context: ({ input }) => input,
  entry: 'begin',
  initial: 'working',
  output: ({ context }) => `${context.id} is done`,
  on: { crash: { actions: 'crash' }, end: '.over' },
  states: {
    working: {
      on: {
        'supervisor.stop': [
          { guard: 'isPrompt', target: 'over' },
          { guard: 'isSlow', target: 'leaving' },
        ],
      },
    },
    leaving: { on: { finish: 'over' } },
    over: { type: 'final' },
  },
});

/** A supervisor on a virtual clock, with everything it does written down. */
export class World {
  readonly clock = new VirtualClock();
  /** `+id` for each start and `-id` for each end of a worker, as its own signal tells it. */
  readonly log: string[] = [];
  readonly emitted: SupervisorEmitted[] = [];
  /** Every actor ever made, with its parent's id. */
  readonly actors: { readonly ref: AnyActorRef; readonly parent: string | undefined }[] = [];
  #root: Actor<AnyActorLogic> | undefined;

  /** A child that writes its starts and ends into the log. */
  worker(id: string, options: Partial<ChildSpec> & { manner?: Manner } = {}): ChildSpec {
    const { manner = 'prompt', ...spec } = options;
    const { log } = this;
    return {
      id,
      logic: worker,
      input: (incarnation: IncarnationInfo): WorkerInput => ({ id, manner, incarnation, log }),
      ...spec,
    };
  }

  /** A child that throws when it starts, as long as `fails` says so. */
  unstartable(id: string, fails: () => boolean = () => true, options: Partial<ChildSpec> = {}): ChildSpec {
    const logic = fromCallback(() => {
      this.log.push(`?${id}`);
      if (fails()) throw new Error(`${id} cannot start`);
    });
    return { id, logic, ...options };
  }

  start(options: Parameters<typeof createSupervisor>[0]): Actor<SupervisorLogic> {
    return this.run(createSupervisor(options));
  }

  run<TLogic extends AnyActorLogic>(logic: TLogic): Actor<TLogic> {
    const root = createActor(logic as AnyActorLogic, {
      id: 'root',
      clock: this.clock,
      inspect: ({ type, actorRef }) => {
        if (type !== '@xstate.actor') return;
        const ref = actorRef as AnyActorRef;
        this.actors.push({ ref, parent: ref._parent?.id });
      },
    });
    root.on('*', (event) => this.emitted.push(event as SupervisorEmitted));
    this.#root = root;
    root.start();
    return root as Actor<TLogic>;
  }

  get root(): Actor<SupervisorLogic> {
    return this.#root as Actor<SupervisorLogic>;
  }

  child(id: string): AnyActorRef {
    const ref = this.root.getSnapshot().context.children.find((child) => child.id === id)?.ref;
    if (!ref) throw new Error(`Child "${id}" does not run.`);
    return ref;
  }

  crash(id: string, error?: unknown): void {
    this.child(id).send({ type: 'crash', error });
  }

  statuses(): Record<string, string> {
    return Object.fromEntries(this.root.getSnapshot().context.children.map(({ id, status }) => [id, status]));
  }

  types(): string[] {
    return this.emitted.map((event) => `${event.type} ${event.id}`);
  }

  /** The log since the last look. */
  news(): string {
    return this.log.splice(0).join(' ');
  }

  /** The session ids of the children that live. */
  living(): string[] {
    const ids: string[] = [];
    for (const { ref, parent } of this.actors) {
      if (parent !== undefined && isActive(ref)) ids.push(ref.sessionId);
    }
    return ids;
  }

  alive(): string[] {
    return this.actors.filter(({ ref }) => isActive(ref)).map(({ ref }) => ref.id);
  }
}

function isActive(ref: AnyActorRef): boolean {
  return (ref.getSnapshot() as Snapshot<unknown>).status === 'active';
}
