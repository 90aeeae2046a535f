import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createGroups } from '../../actors/groups.js';
import type { RestartPolicy } from '../../actors/supervision/child-spec.js';
import type { SupervisorEvent, SupervisorSnapshot } from '../../actors/supervision/protocol.js';
import { World, type Manner } from './supervisor-world.js';

const INTENSITY = 2;
const PERIOD_MS = 100;
const SHUTDOWN_MS = 30;
const BACKOFF = { minDelayMs: 20, maxDelayMs: 60 };
const STATIC = ['a', 'b', 'c'];
const DYNAMIC = ['x', 'y', 'z'];

const anyPolicy = fc.constantFrom<RestartPolicy>('always', 'on-crash', 'never');
const anyManner = fc.constantFrom<Manner>('prompt', 'slow', 'stubborn');
const anyId = fc.constantFrom(...STATIC, ...DYNAMIC);
const anyCommand = fc.oneof(
  fc.record({
    type: fc.constant('child.start' as const),
    id: anyId,
    policy: anyPolicy,
    manner: anyManner,
  }),
  fc.record({ type: fc.constantFrom('child.stop', 'child.restart', 'child.delete'), id: anyId }),
  fc.record({ type: fc.constantFrom('crash', 'crash', 'end'), id: anyId }),
  fc.record({ type: fc.constant('advance' as const), ms: fc.constantFrom(1, 10, 25, 60) }),
);
type Command =
  | { type: 'child.start'; id: string; policy: RestartPolicy; manner: Manner }
  | { type: 'child.stop' | 'child.restart' | 'child.delete' | 'crash' | 'end'; id: string }
  | { type: 'advance'; ms: number }
  | { type: 'stop' };

const ENDING: Command[] = [{ type: 'stop' }, ...Array<Command>(4).fill({ type: 'advance', ms: 60 })];

interface ModelChild {
  readonly policy: RestartPolicy;
  readonly manner: Manner;
  readonly dynamic: boolean;
  status: 'running' | 'stopping' | 'waiting' | 'stopped';
  restarts: number;
  /** When a stopping child is killed, or a waiting one restarted. */
  due: number;
  times: number[];
}

/** What a one-for-one supervisor is to do, in plain words. Jitter is always one half. */
class Model {
  readonly children = new Map<string, ModelChild>();
  readonly refused: string[] = [];
  status: 'active' | 'done' | 'error' = 'active';
  #stopping = false;
  #failed = false;
  #now = 0;
  #times: number[] = [];

  add(id: string, policy: RestartPolicy, manner: Manner, dynamic: boolean): void {
    this.children.set(id, { policy, manner, dynamic, status: 'running', restarts: 0, due: 0, times: [] });
  }

  take(command: Command): void {
    if (this.status !== 'active') return;
    if (command.type === 'stop') this.#shutDown();
    else if (command.type === 'advance') this.#advance(this.#now + command.ms);
    else this.#takeFor(command, command.id, this.children.get(command.id));
    this.#stopNext();
  }

  #takeFor(command: Exclude<Command, { type: 'advance' | 'stop' }>, id: string, child?: ModelChild): void {
    const refuse = (code: string): void => void this.refused.push(`${command.type} ${id} ${code}`);
    const alive = child?.status === 'running' || child?.status === 'stopping';
    switch (command.type) {
      case 'child.start':
        if (this.#stopping) return refuse('stopping');
        if (child) return refuse(alive ? 'already-started' : 'already-present');
        return this.add(id, command.policy, command.manner, true);
      case 'child.stop':
        if (!child) return refuse('not-found');
        if (this.#stopping) return;
        if (child.status === 'waiting') this.#settle(id, child);
        else if (child.status === 'running') this.#ask(id, child);
        return;
      case 'child.restart':
      case 'child.delete':
        if (this.#stopping) return refuse('stopping');
        if (!child) return refuse('not-found');
        if (child.status !== 'stopped') return refuse('running');
        if (command.type === 'child.delete') this.children.delete(id);
        else this.#restart(child);
        return;
      case 'end':
      case 'crash':
        if (child && alive) this.#settle(id, child, child.status === 'running', command.type === 'crash');
    }
  }

  #ask(id: string, child: ModelChild): void {
    child.status = 'stopping';
    child.due = this.#now + SHUTDOWN_MS;
    if (child.manner === 'prompt') this.#settle(id, child);
  }

  #settle(id: string, child: ModelChild, byItself = false, crashed = false): void {
    child.status = 'stopped';
    if (byItself && !this.#stopping && child.policy !== 'never' && (crashed || child.policy === 'always')) {
      const times = child.dynamic ? child.times : this.#times;
      times.push(this.#now);
      const recent = times.filter((time) => time >= this.#now - PERIOD_MS).length;
      if (recent <= INTENSITY) {
        child.status = 'waiting';
        child.due = this.#now + 0.5 * Math.min(BACKOFF.maxDelayMs, BACKOFF.minDelayMs * 2 ** (recent - 1));
        return;
      }
      if (!child.dynamic) {
        this.#failed = true;
        this.#shutDown();
      }
    }
    if (child.dynamic || child.policy === 'never') this.children.delete(id);
  }

  #restart(child: ModelChild): void {
    child.status = 'running';
    child.restarts += 1;
  }

  #advance(end: number): void {
    for (;;) {
      const due = [...this.children]
        .filter(([, { status, due }]) => (status === 'stopping' || status === 'waiting') && due <= end)
        .sort(([, one], [, other]) => one.due - other.due);
      if (!due[0]) break;
      const [id, child] = due[0];
      this.#now = child.due;
      if (child.status === 'waiting') this.#restart(child);
      else this.#settle(id, child);
      this.#stopNext();
    }
    this.#now = end;
  }

  #shutDown(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const [id, child] of [...this.children]) {
      if (child.status === 'waiting') this.#settle(id, child);
      else if (child.dynamic && child.status === 'running') this.#ask(id, child);
    }
  }

  #stopNext(): void {
    if (!this.#stopping) return;
    for (const [id, child] of [...this.children].reverse()) {
      if (child.status === 'stopped') continue;
      if (child.status === 'running' && !child.dynamic) this.#ask(id, child);
      if (this.children.get(id)?.status === 'stopping') return;
    }
    this.status = this.#failed ? 'error' : 'done';
  }
}

/** Whatever it is told: what it shows agrees with what lives and with what waits for a timer. */
function expectConsistent(world: World): void {
  const { children, counts } = world.root.getSnapshot().context;
  const shown = children.flatMap(({ ref }) => ref?.sessionId ?? []);
  expect(shown.sort().join()).toBe(world.living().sort().join());
  expect(counts.specs === children.length && counts.workers === children.length).toBe(true);
  expect(counts.active).toBe(shown.length);
  for (const { status, ref } of children) {
    const alive = status === 'running' || status === 'stopping';
    if ((ref !== undefined) !== alive) throw new Error(`A child is ${status} with the wrong ref.`);
  }
}

/** They take a second or two; a busy machine may take longer. */
const TIMEOUT_MS = 60_000;

test(
  'a one-for-one supervisor does what the model says, and leaves nothing alive',
  () => {
    const run = (statics: [RestartPolicy, Manner][], commands: Command[]): void => {
      const world = new World();
      const model = new Model();
      const children = statics.map(([restart, manner], at) => {
        model.add(STATIC[at]!, restart, manner, false);
        return world.worker(STATIC[at]!, { restart, manner, shutdownMs: SHUTDOWN_MS });
      });
      const limits = { intensity: INTENSITY, periodMs: PERIOD_MS, backoff: BACKOFF, random: () => 0.5 };
      world.start({ ...limits, children });
      for (const command of [...commands, ...ENDING]) {
        if (world.root.getSnapshot().status === 'active') apply(world, command);
        model.take(command);
        const { status, context } = world.root.getSnapshot();
        const shown = context.children.map(({ id, status, restarts }) => `${id} ${status} ${restarts}`);
        const modelled = [...model.children].map(([id, child]) => `${id} ${child.status} ${child.restarts}`);
        expect([status, ...shown].join(', ')).toBe([model.status, ...modelled].join(', '));
        expectConsistent(world);
        expect(world.clock.pending).toBe(
          context.children.filter(({ status }) => /ing$/.test(status) && status !== 'running').length,
        );
      }
      const refusals = world.emitted.flatMap((event) =>
        event.type === 'child.refused' ? [`${event.request} ${event.id} ${event.code}`] : [],
      );
      expect(refusals).toEqual(model.refused);
      expect(world.root.getSnapshot().status).not.toBe('active');
      expect(world.alive()).toEqual([]);
      expect(world.clock.pending).toBe(0);
    };
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyPolicy, anyManner), { maxLength: STATIC.length }),
        fc.array(anyCommand as fc.Arbitrary<Command>, { maxLength: 60, size: 'max' }),
        run,
      ),
      { numRuns: 100 },
    );
  },
  TIMEOUT_MS,
);

function apply(world: World, command: Command): void {
  switch (command.type) {
    case 'advance':
      return world.clock.advanceAtOnce(command.ms);
    case 'child.start': {
      const { id, policy: restart, manner } = command;
      const child = world.worker(id, { restart, manner, shutdownMs: SHUTDOWN_MS });
      return world.root.send({ type: 'child.start', child });
    }
    case 'crash':
    case 'end': {
      const { type, id } = command;
      const { ref } = world.root.getSnapshot().context.children.find((child) => child.id === id) ?? {};
      return ref?.send({ type });
    }
    default:
      return world.root.send(command as SupervisorEvent);
  }
}

test(
  'a group starts and stops in the order that the strategy says',
  () => {
    const ids = ['a', 'b', 'c', 'd'];
    const run = (
      strategy: 'one-for-all' | 'rest-for-one',
      policies: RestartPolicy[],
      commands: { type: 'crash' | 'end' | 'child.stop' | 'child.restart'; id: string }[],
    ): void => {
      const world = new World();
      let specs = policies.map((policy, at) => ({ id: ids[at]!, policy, alive: true }));
      world.start({
        strategy,
        intensity: INTENSITY,
        children: specs.map(({ id, policy }) => world.worker(id, { restart: policy })),
      });
      expect(world.news()).toBe(specs.map(({ id }) => `+${id}`).join(' '));
      let crashes = 0;
      for (const { type, id } of [...commands, { type: 'stop', id: '' }]) {
        const expected: string[] = [];
        const end = (spec: (typeof specs)[number]): void => {
          if (!spec.alive) return;
          expected.push(`-${spec.id}`);
          spec.alive = false;
          if (spec.policy === 'never') specs = specs.filter((other) => other !== spec);
        };
        const begin = (spec: (typeof specs)[number]): void => {
          expected.push(`+${spec.id}`);
          spec.alive = true;
        };
        const spec = specs.find((each) => each.id === id);
        const over = world.root.getSnapshot().status !== 'active';
        if (!over && type === 'stop') [...specs].reverse().forEach(end);
        if (!over && spec) {
          if (type === 'child.restart' && !spec.alive) begin(spec);
          else if (type !== 'child.restart' && spec.alive) {
            end(spec);
            const restarted =
              type === 'crash' ? spec.policy !== 'never' : type === 'end' && spec.policy === 'always';
            if (restarted && ++crashes > INTENSITY) {
              [...specs].reverse().forEach(end);
            } else if (restarted) {
              const inGroup = (each: typeof spec): boolean =>
                strategy === 'one-for-all' || specs.indexOf(each) >= specs.indexOf(spec);
              [...specs].reverse().filter(inGroup).forEach(end);
              specs.filter(inGroup).forEach(begin);
            }
          }
        }
        if (!over) {
          const { ref } = world.root.getSnapshot().context.children.find((child) => child.id === id) ?? {};
          if (type === 'crash' || type === 'end') ref?.send({ type });
          else world.root.send({ type, id } as SupervisorEvent);
        }
        expect(world.news()).toBe(expected.join(' '));
      }
      expect(world.root.getSnapshot().status).toBe(crashes > INTENSITY ? 'error' : 'done');
      expect(world.alive()).toEqual([]);
    };
    fc.assert(
      fc.property(
        fc.constantFrom('one-for-all' as const, 'rest-for-one' as const),
        fc.array(anyPolicy, { minLength: 1, maxLength: ids.length }),
        fc.array(
          fc.record({
            type: fc.constantFrom(
              'crash' as const,
              'end' as const,
              'child.stop' as const,
              'child.restart' as const,
            ),
            id: fc.constantFrom(...ids),
          }),
          { maxLength: 20, size: 'max' },
        ),
        run,
      ),
      { numRuns: 100 },
    );
  },
  TIMEOUT_MS,
);

test(
  'with slow members, back-off and any strategy: consistent all the time, at rest after a while, nothing left after stop',
  () => {
    fc.assert(
      fc.property(
        fc.constantFrom('one-for-one' as const, 'one-for-all' as const, 'rest-for-one' as const),
        fc.array(fc.tuple(anyPolicy, anyManner), { minLength: 1, maxLength: STATIC.length }),
        fc.boolean(),
        fc.array(anyCommand as fc.Arbitrary<Command>, { maxLength: 60, size: 'max' }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (strategy, statics, withBackoff, commands, random) => {
          const world = new World();
          world.start({
            strategy,
            periodMs: PERIOD_MS,
            ...(withBackoff && { backoff: BACKOFF }),
            random: () => random,
            children: statics.map(([restart, manner], at) =>
              world.worker(STATIC[at]!, { restart, manner, shutdownMs: SHUTDOWN_MS }),
            ),
          });
          for (const command of commands) {
            if (world.root.getSnapshot().status !== 'active') break;
            apply(world, command);
            expectConsistent(world);
          }
          world.clock.advanceAtOnce(1_000);
          if (world.root.getSnapshot().status === 'active') {
            for (const status of Object.values(world.statuses()))
              expect(['running', 'stopped']).toContain(status);
            expect(world.clock.pending).toBe(0);
          }
          if (world.root.getSnapshot().status === 'active') world.root.send({ type: 'stop' });
          world.clock.advanceAtOnce(1_000);
          expect(world.root.getSnapshot().status).not.toBe('active');
          expect(world.alive()).toEqual([]);
          expect(world.clock.pending).toBe(0);
        },
      ),
      { numRuns: 100 },
    );
  },
  TIMEOUT_MS,
);

test(
  'groups hold the same children as one supervisor would, in groups that are never too large',
  () => {
    const size = 2;
    fc.assert(
      fc.property(
        fc.array(anyCommand as fc.Arbitrary<Command>, { maxLength: 60, size: 'max' }),
        (commands) => {
          const limits = { intensity: INTENSITY, periodMs: PERIOD_MS, backoff: BACKOFF, random: () => 0.5 };
          const one = new World();
          one.start(limits);
          const many = new World();
          many.run(createGroups({ ...limits, groupSize: size }));
          const groups = () =>
            many.root
              .getSnapshot()
              .context.children.map(({ ref }) => (ref?.getSnapshot() as SupervisorSnapshot).context);
          for (const command of commands) {
            if (command.type === 'crash' || command.type === 'end') {
              for (const { children } of [one.root.getSnapshot().context, ...groups()]) {
                const { ref } = children.find((child) => child.id === command.id) ?? {};
                ref?.send({ type: command.type });
              }
            } else {
              apply(one, command);
              apply(many, command);
            }
            const members = groups().map(({ children }) => children);
            for (const { length } of members) expect(length >= 1 && length <= size).toBe(true);
            const shown = (children: SupervisorSnapshot['context']['children']) =>
              children.map(({ id, status, restarts }) => `${id} ${status} ${restarts}`).sort();
            expect(shown(members.flat())).toEqual(shown(one.root.getSnapshot().context.children));
            expect(many.types()).toEqual(one.types());
          }
          for (const world of [one, many]) {
            world.root.send({ type: 'stop' });
            world.clock.advanceAtOnce(1_000);
            expect(world.root.getSnapshot().status).toBe('done');
            expect(world.alive()).toEqual([]);
            expect(world.clock.pending).toBe(0);
          }
        },
      ),
      { numRuns: 100 },
    );
  },
  TIMEOUT_MS,
);
