import { setup } from 'xstate';
import { promiseSlot } from './slots.js';

export type SubscriberStatus = 'waiting' | 'declaring' | 'active' | 'draining' | 'stopped' | 'failed';

export type SubscriberEvent = { type: 'session.lost' } | { type: 'supervisor.stop' };

/** A subscriber by its number in the master's register: what it holds is plain data. */
export interface SubscriberInput {
  readonly number: number;
}

/** How a step on the broker ended. */
export type Step = { type: 'done' } | { type: 'session.lost' } | { type: 'failed' };

/**
 * One transient subscriber.
 *
 * - `waiting`: there is no session. The next one moves it on.
 * - `declaring`: its bindings are being added at the broker.
 * - `consuming`: every message that matches reaches its mailbox, and the pump calls its handler.
 * - `draining`: no new calls; its bindings go, the call that runs may end.
 * - `stopped`, `failed`: final. Failed means that the broker refused its bindings for good.
 *
 * A refusal that may pass crashes the actor: its supervisor starts it again after a while.
 */
export const subscriberMachine = setup({
  types: {
    context: {} as SubscriberInput,
    input: {} as SubscriberInput,
    events: {} as SubscriberEvent,
  },
  actors: {
    session: promiseSlot<void, SubscriberInput>(),
    declare: promiseSlot<Step, SubscriberInput>(),
    drain: promiseSlot<void, SubscriberInput>(),
  },
  actions: {
    /** Opens the pump, which tells this actor of a lost session; an actor of its own for it would double the cost. */
    openPump: (_, _params: { number: number }) => {},
    closePump: (_, _params: { number: number }) => {},
    report: (_, _params: { number: number; status: SubscriberStatus }) => {},
  },
}).createMachine({
  id: 'subscriber',
  context: ({ input }) => ({ number: input.number }),
  initial: 'declaring',
  states: {
    waiting: {
      entry: { type: 'report', params: ({ context }) => ({ ...context, status: 'waiting' }) },
      invoke: { src: 'session', input: ({ context }) => context, onDone: 'declaring', onError: 'failed' },
      on: { 'supervisor.stop': 'draining' },
    },
    declaring: {
      entry: { type: 'report', params: ({ context }) => ({ ...context, status: 'declaring' }) },
      invoke: {
        src: 'declare',
        input: ({ context }) => context,
        onDone: [
          { guard: ({ event }) => event.output.type === 'done', target: 'consuming' },
          { guard: ({ event }) => event.output.type === 'failed', target: 'failed' },
          { target: 'waiting' },
        ],
      },
      on: { 'supervisor.stop': 'draining' },
    },
    consuming: {
      entry: [
        { type: 'report', params: ({ context }) => ({ ...context, status: 'active' }) },
        { type: 'openPump', params: ({ context }) => context },
      ],
      exit: { type: 'closePump', params: ({ context }) => context },
      on: { 'session.lost': 'waiting', 'supervisor.stop': 'draining' },
    },
    draining: {
      entry: { type: 'report', params: ({ context }) => ({ ...context, status: 'draining' }) },
      invoke: { src: 'drain', input: ({ context }) => context, onDone: 'stopped', onError: 'stopped' },
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
