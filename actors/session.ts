import { assign, sendParent, setup } from 'xstate';
import { promiseSlot, resourceSlot } from './slots.js';

export type SessionState =
  'connecting' | 'connected' | 'blocked' | 'waiting' | 'stopping' | 'stopped' | 'failed';

export type SessionEvent =
  | { type: 'session.blocked'; reason: string }
  | { type: 'session.unblocked' }
  | ({ type: 'session.lost' } & Trouble)
  | { type: 'supervisor.stop' };

/** What the session actor tells the master's root actor. */
export type SessionNews =
  | { type: 'session.connected' }
  | { type: 'session.blocked' }
  | { type: 'session.lost' }
  | { type: 'session.failed' };

export interface SessionContext {
  /** Attempts since the last established session. */
  attempt: number;
  delayMs: number;
  reason: string;
}

/** Why there is no session: `fatal` when another attempt cannot succeed, else when the next one begins. */
export interface Trouble {
  reason: string;
  fatal: boolean;
  delayMs: number;
}

/**
 * The broker connection of a master: the only place that reconnects.
 *
 * - `connecting`: one attempt is under way. It succeeds, fails for now, or fails for good.
 * - `established`: there is a session; `watch` tells of its end. Within it `connected` takes publishes and `blocked` does
 *   not.
 * - `waiting`: the last attempt or session failed; after a delay with full jitter comes the next attempt, for ever.
 * - `stopping`: the session is being closed.
 * - `stopped`, `failed`: final.
 */
export const sessionMachine = setup({
  types: {
    context: {} as SessionContext,
    events: {} as SessionEvent,
    input: {},
  },
  actors: {
    /** Connects and puts the session where the data plane finds it. Resolves with the trouble it met, if any. */
    connect: promiseSlot<Trouble | undefined, { attempt: number }>(),
    /** Sends `session.blocked`, `session.unblocked` and `session.lost`. */
    watch: resourceSlot<SessionEvent, Record<string, never>>(),
    close: promiseSlot<void, Record<string, never>>(),
  },
  actions: {
    /** Tells the data plane and the listeners; never throws. */
    report: (_, _params: { state: SessionState; reason: string; attempt: number; delayMs: number }) => {},
    tellConnected: sendParent({ type: 'session.connected' } satisfies SessionNews),
    tellBlocked: sendParent({ type: 'session.blocked' } satisfies SessionNews),
    tellLost: sendParent({ type: 'session.lost' } satisfies SessionNews),
    tellFailed: sendParent({ type: 'session.failed' } satisfies SessionNews),
    noteTrouble: assign((_, trouble: Trouble) => ({ reason: trouble.reason, delayMs: trouble.delayMs })),
  },
  delays: { backoff: ({ context }) => context.delayMs },
}).createMachine({
  id: 'session',
  context: { attempt: 1, delayMs: 0, reason: '' },
  initial: 'connecting',
  states: {
    connecting: {
      entry: { type: 'report', params: ({ context }) => ({ state: 'connecting', ...context }) },
      invoke: {
        src: 'connect',
        input: ({ context }) => ({ attempt: context.attempt }),
        onDone: [
          { guard: ({ event }) => event.output === undefined, target: 'established' },
          {
            guard: ({ event }) => event.output!.fatal,
            target: 'failed',
            actions: { type: 'noteTrouble', params: ({ event }) => event.output! },
          },
          { target: 'waiting', actions: { type: 'noteTrouble', params: ({ event }) => event.output! } },
        ],
        onError: 'failed',
      },
      on: { 'supervisor.stop': 'stopping' },
    },
    established: {
      entry: assign({ attempt: 0, reason: '' }),
      invoke: { src: 'watch', input: () => ({}) },
      initial: 'connected',
      states: {
        connected: {
          entry: [
            { type: 'report', params: ({ context }) => ({ state: 'connected', ...context }) },
            { type: 'tellConnected' },
          ],
          on: {
            'session.blocked': {
              target: 'blocked',
              actions: assign({ reason: ({ event }) => event.reason }),
            },
          },
        },
        blocked: {
          entry: [
            { type: 'report', params: ({ context }) => ({ state: 'blocked', ...context }) },
            { type: 'tellBlocked' },
          ],
          on: { 'session.unblocked': { target: 'connected', actions: assign({ reason: '' }) } },
        },
      },
      on: {
        'session.lost': [
          {
            guard: ({ event }) => event.fatal,
            target: 'failed',
            actions: { type: 'noteTrouble', params: ({ event }) => event },
          },
          { target: 'waiting', actions: { type: 'noteTrouble', params: ({ event }) => event } },
        ],
        'supervisor.stop': 'stopping',
      },
    },
    waiting: {
      entry: [
        { type: 'report', params: ({ context }) => ({ state: 'waiting', ...context }) },
        { type: 'tellLost' },
      ],
      after: {
        backoff: { target: 'connecting', actions: assign({ attempt: ({ context }) => context.attempt + 1 }) },
      },
      on: { 'supervisor.stop': 'stopping' },
    },
    stopping: {
      entry: { type: 'report', params: ({ context }) => ({ state: 'stopping', ...context }) },
      invoke: { src: 'close', input: () => ({}), onDone: 'stopped', onError: 'stopped' },
    },
    stopped: {
      type: 'final',
      entry: { type: 'report', params: ({ context }) => ({ state: 'stopped', ...context }) },
    },
    failed: {
      type: 'final',
      entry: [
        { type: 'report', params: ({ context }) => ({ state: 'failed', ...context }) },
        { type: 'tellFailed' },
      ],
    },
  },
});
