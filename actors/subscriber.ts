import { setup } from 'xstate';
import { promiseSlot } from './slots.js';

export type SubscriberStatus = 'waiting' | 'declaring' | 'active' | 'draining' | 'stopped' | 'failed';

export type SubscriberEvent =
  | { type: 'session.connected' }
  | { type: 'session.lost' }
  /** Every message published from now on that matches is received. */
  | { type: 'bindings.added' }
  /** The broker refuses them for good. */
  | { type: 'bindings.refused' }
  /** They could not be added, which may pass. */
  | { type: 'bindings.failed' }
  /** No call runs any more, and the broker holds nothing of it; or the patience has ended. */
  | { type: 'drain.ended' }
  | { type: 'supervisor.stop' };

/** A subscriber by its number in the master's register: what it holds is plain data. */
export interface SubscriberInput {
  readonly number: number;
}

/**
 * One transient subscriber.
 *
 * - `waiting`: there is no session. The next one moves it on.
 * - `declaring`: its bindings are being added at the broker.
 * - `consuming`: every message that matches reaches its mailbox, and the pump calls its handler.
 * - `draining`: no new calls; its bindings go, the call that runs may end.
 * - `stopped`, `failed`: final. Failed means that the broker refused its bindings for good.
 * - `crashing`: a refusal that may pass crashes the actor. Its supervisor starts it again after a while.
 *
 * Its actions only note what is wanted; that begins when the transition is complete, and is told of by an event. There may be
 * very many subscribers, and an actor of its own for each wait doubled the cost of each.
 */
export const subscriberMachine = setup({
  types: {
    context: {} as SubscriberInput,
    input: {} as SubscriberInput,
    events: {} as SubscriberEvent,
  },
  actors: {
    /** Rejects with why the bindings could not be added. */
    crash: promiseSlot<never, SubscriberInput>(),
  },
  actions: {
    /** Asks to be told of the next session. */
    awaitSession: (_, _params: SubscriberInput) => {},
    addBindings: (_, _params: SubscriberInput) => {},
    /** Opens the pump, and asks to be told of the end of the session. */
    openPump: (_, _params: SubscriberInput) => {},
    /** Not to be told of sessions any more. */
    leaveSession: (_, _params: SubscriberInput) => {},
    drain: (_, _params: SubscriberInput) => {},
    report: (_, _params: { number: number; status: SubscriberStatus }) => {},
  },
}).createMachine({
  id: 'subscriber',
  context: ({ input }) => ({ number: input.number }),
  initial: 'declaring',
  states: {
    waiting: {
      entry: [
        { type: 'report', params: ({ context }) => ({ ...context, status: 'waiting' }) },
        { type: 'awaitSession', params: ({ context }) => context },
      ],
      exit: { type: 'leaveSession', params: ({ context }) => context },
      on: { 'session.connected': 'declaring', 'supervisor.stop': 'draining' },
    },
    declaring: {
      entry: [
        { type: 'report', params: ({ context }) => ({ ...context, status: 'declaring' }) },
        { type: 'addBindings', params: ({ context }) => context },
      ],
      on: {
        'bindings.added': 'consuming',
        'bindings.refused': 'failed',
        'bindings.failed': 'crashing',
        'session.lost': 'waiting',
        'supervisor.stop': 'draining',
      },
    },
    crashing: {
      invoke: { src: 'crash', input: ({ context }) => context },
      on: { 'supervisor.stop': 'draining' },
    },
    consuming: {
      entry: [
        { type: 'report', params: ({ context }) => ({ ...context, status: 'active' }) },
        { type: 'openPump', params: ({ context }) => context },
      ],
      exit: { type: 'leaveSession', params: ({ context }) => context },
      on: { 'session.lost': 'waiting', 'supervisor.stop': 'draining' },
    },
    draining: {
      entry: [
        { type: 'report', params: ({ context }) => ({ ...context, status: 'draining' }) },
        { type: 'drain', params: ({ context }) => context },
      ],
      on: { 'drain.ended': 'stopped' },
    },
    stopped: {
      type: 'final',
      entry: { type: 'report', params: ({ context }) => ({ ...context, status: 'stopped' }) },
    },
    failed: {
      type: 'final',
      entry: { type: 'report', params: ({ context }) => ({ ...context, status: 'failed' }) },
    },
  },
});
