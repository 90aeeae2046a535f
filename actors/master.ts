import { assign, enqueueActions, setup, type AnyActorLogic } from 'xstate';
import { outboxMachine } from './outbox.js';
import { sessionMachine, type SessionNews } from './session.js';

export type MasterStatus = 'starting' | 'ready' | 'waiting' | 'stopping' | 'stopped' | 'failed';

export interface MasterInput {
  readonly connectTimeoutMs: number;
  /** For each step of the stop, after which it goes on without waiting. */
  readonly stepTimeoutMs: number;
}

type ChildName = 'session' | 'outbox' | 'supervisor';

/** `stepTimeoutMs`: of this stop, instead of the one that the master was given. */
type MasterEvent = SessionNews | { type: 'stop.requested'; stepTimeoutMs?: number };

const FAILURE = {
  type: 'reportFailure',
  params: ({ event }: { event: object }) => ({ error: 'error' in event ? event.error : undefined }),
} as const;

/**
 * The root actor of a master: its session, its outbox, and the supervisor of its queues.
 *
 * - `starting`: no session yet. A broker that is down is tried until `connectTimeoutMs`.
 * - `ready`: there is a session. - `waiting`: it is lost, and the session actor tries again.
 * - `stopping`: subscribers and consumers first, then what is still to be confirmed, then the session.
 * - `stopped`, `failed`: final. Failed means that the broker refused for good, or the supervisor gave up.
 */
export const masterMachine = setup({
  types: {
    context: {} as MasterInput & { failed: boolean; ended: readonly ChildName[] },
    input: {} as MasterInput,
    events: {} as MasterEvent,
  },
  actors: {
    session: sessionMachine,
    outbox: outboxMachine,
    /** Groups of subscribers and consumers. */
    supervisor: {} as AnyActorLogic,
  },
  actions: {
    report: (_, _params: { status: MasterStatus }) => {},
    tellOutbox: enqueueActions(({ enqueue, event }) => {
      if (
        event.type === 'session.connected' ||
        event.type === 'session.blocked' ||
        event.type === 'session.lost'
      )
        enqueue.sendTo('outbox', { type: event.type });
    }),
    askToStop: enqueueActions(({ context, enqueue }, child: ChildName) => {
      if (!context.ended.includes(child))
        enqueue.sendTo(child, { type: child === 'supervisor' ? 'stop' : 'supervisor.stop' });
    }),
    fail: assign({ failed: true }),
    /** Tells why a child failed; never throws. */
    reportFailure: (_, _params: { error: unknown }) => {},
    noteEnd: assign({ ended: ({ context }, child: ChildName) => [...context.ended, child] }),
  },
  guards: {
    hasEnded: ({ context }, child: ChildName) => context.ended.includes(child),
  },
  delays: {
    connectTimeout: ({ context }) => context.connectTimeoutMs,
    stepTimeout: ({ context }) => context.stepTimeoutMs,
  },
}).createMachine({
  id: 'master',
  context: ({ input }) => ({ ...input, failed: false, ended: [] }),
  invoke: [
    {
      id: 'session',
      src: 'session',
      input: () => ({}),
      onDone: { actions: { type: 'noteEnd', params: 'session' } },
      onError: { target: '.stopping', actions: ['fail', FAILURE, { type: 'noteEnd', params: 'session' }] },
    },
    {
      id: 'outbox',
      src: 'outbox',
      onDone: { actions: { type: 'noteEnd', params: 'outbox' } },
      onError: { target: '.stopping', actions: ['fail', FAILURE, { type: 'noteEnd', params: 'outbox' }] },
    },
    {
      id: 'supervisor',
      src: 'supervisor',
      onDone: { actions: { type: 'noteEnd', params: 'supervisor' } },
      onError: { target: '.stopping', actions: ['fail', FAILURE, { type: 'noteEnd', params: 'supervisor' }] },
    },
  ],
  initial: 'starting',
  on: {
    'session.connected': { actions: 'tellOutbox' },
    'session.blocked': { actions: 'tellOutbox' },
    'session.lost': { actions: 'tellOutbox' },
    'session.failed': { target: '.stopping', actions: 'fail' },
    'stop.requested': {
      target: '.stopping',
      actions: assign({
        stepTimeoutMs: ({ context, event }) => event.stepTimeoutMs ?? context.stepTimeoutMs,
      }),
    },
  },
  states: {
    starting: {
      entry: { type: 'report', params: { status: 'starting' } },
      on: { 'session.connected': { target: 'ready', actions: 'tellOutbox' } },
      after: { connectTimeout: { target: 'stopping', actions: 'fail' } },
    },
    ready: {
      entry: { type: 'report', params: { status: 'ready' } },
      on: { 'session.lost': { target: 'waiting', actions: 'tellOutbox' } },
    },
    waiting: {
      entry: { type: 'report', params: { status: 'waiting' } },
      on: { 'session.connected': { target: 'ready', actions: 'tellOutbox' } },
    },
    stopping: {
      entry: { type: 'report', params: { status: 'stopping' } },
      initial: 'children',
      on: {
        // A stop that has begun goes on, whatever fails meanwhile.
        'stop.requested': {},
        'session.failed': { actions: 'fail' },
        'xstate.error.actor.session': { actions: ['fail', FAILURE, { type: 'noteEnd', params: 'session' }] },
        'xstate.error.actor.outbox': { actions: ['fail', FAILURE, { type: 'noteEnd', params: 'outbox' }] },
        'xstate.error.actor.supervisor': {
          actions: ['fail', FAILURE, { type: 'noteEnd', params: 'supervisor' }],
        },
      },
      states: {
        children: {
          entry: { type: 'askToStop', params: 'supervisor' },
          always: { guard: { type: 'hasEnded', params: 'supervisor' }, target: 'outbox' },
          after: { stepTimeout: 'outbox' },
        },
        outbox: {
          entry: { type: 'askToStop', params: 'outbox' },
          always: { guard: { type: 'hasEnded', params: 'outbox' }, target: 'session' },
          after: { stepTimeout: 'session' },
        },
        session: {
          entry: { type: 'askToStop', params: 'session' },
          always: { guard: { type: 'hasEnded', params: 'session' }, target: 'ended' },
          after: { stepTimeout: 'ended' },
        },
        ended: { type: 'final' },
      },
      onDone: [{ guard: ({ context }) => context.failed, target: 'failed' }, { target: 'stopped' }],
    },
    stopped: { type: 'final', entry: { type: 'report', params: { status: 'stopped' } } },
    failed: { type: 'final', entry: { type: 'report', params: { status: 'failed' } } },
  },
});
