import { setup } from 'xstate';
import { promiseSlot, resourceSlot } from './slots.js';

export type OutboxEvent =
  | { type: 'session.connected' }
  | { type: 'session.blocked' }
  | { type: 'session.lost' }
  | { type: 'spool.filled' }
  | { type: 'spool.emptied' }
  | { type: 'supervisor.stop' };

/**
 * What is published and not yet confirmed.
 *
 * - `holding`: the broker takes nothing; publishes wait for their deadline.
 * - `flowing`: publishes go out within the window.
 * - `spooling`: messages are in the spool, and what is published goes there too. Within it `holding` waits for the broker,
 *   and `flowing` sends what the spool holds.
 * - `draining`: the master stops; what was published is still sent, nothing new is taken.
 * - `stopped`: final.
 */
export const outboxMachine = setup({
  types: { events: {} as OutboxEvent },
  actors: {
    flow: resourceSlot<OutboxEvent, Record<string, never>>(),
    /** Tells whether the spool holds anything; nothing, without a spool. */
    spool: resourceSlot<OutboxEvent, Record<string, never>>(),
    drain: promiseSlot<void, Record<string, never>>(),
  },
}).createMachine({
  id: 'outbox',
  initial: 'holding',
  invoke: { src: 'spool', input: () => ({}) },
  states: {
    holding: {
      on: {
        'session.connected': 'flowing',
        'spool.filled': 'spooling',
        'supervisor.stop': 'draining',
      },
    },
    flowing: {
      invoke: { src: 'flow', input: () => ({}) },
      on: {
        'session.blocked': 'holding',
        'session.lost': 'holding',
        'spool.filled': 'spooling.flowing',
        'supervisor.stop': 'draining',
      },
    },
    spooling: {
      initial: 'holding',
      states: {
        holding: { on: { 'session.connected': 'flowing', 'spool.emptied': '#outbox.holding' } },
        flowing: {
          invoke: { src: 'flow', input: () => ({}) },
          on: {
            'session.blocked': 'holding',
            'session.lost': 'holding',
            'spool.emptied': '#outbox.flowing',
          },
        },
      },
      on: { 'supervisor.stop': 'draining' },
    },
    draining: {
      // What flows while draining flows as before.
      initial: 'flowing',
      invoke: { src: 'drain', input: () => ({}), onDone: 'stopped', onError: 'stopped' },
      states: {
        flowing: {
          invoke: { src: 'flow', input: () => ({}) },
          on: { 'session.blocked': 'holding', 'session.lost': 'holding' },
        },
        holding: { on: { 'session.connected': 'flowing' } },
      },
    },
    stopped: { type: 'final' },
  },
});
