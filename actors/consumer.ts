import { assign, setup } from 'xstate';
import { promiseSlot, resourceSlot } from './slots.js';

export type ConsumerStatus =
  | 'declaring'
  | 'standby'
  | 'active'
  | 'paused'
  | 'draining'
  | 'fenced'
  | 'waiting'
  | 'lost'
  | 'failed'
  | 'stopped';

export type ConsumerEvent =
  /** This master owns the queue, and its bindings are in place. */
  | { type: 'claim.granted' }
  /** Another master owns it, and its bindings are in place. */
  | { type: 'claim.standby' }
  | { type: 'claim.fenced' }
  /** It is refused for good. */
  | { type: 'claim.failed' }
  /** It is refused for now. */
  | { type: 'claim.crashed' }
  | { type: 'queue.lost' }
  | { type: 'session.lost' }
  /** A handler does not end: another master shall try. */
  | { type: 'pump.stuck' }
  | { type: 'pump.failed' }
  | { type: 'pause.requested' }
  | { type: 'resume.requested' }
  | { type: 'supervisor.stop' };

/** A consumer by its number in the master's register, and what decides where it goes next. */
export interface ConsumerInput {
  readonly number: number;
  readonly ownership: 'exclusive' | 'shared';
  readonly ifDeleted: 'lost' | 'recreate';
  readonly paused: boolean;
}

/** How declaring ended: `queue.lost` when the queue it had declared is gone, or another one has its name. */
export type ConsumerDeclared =
  { type: 'done' } | { type: 'session.lost' } | { type: 'failed' } | { type: 'queue.lost' };

export interface ConsumerContext extends Omit<ConsumerInput, 'paused'> {
  owns: boolean;
  paused: boolean;
}

/**
 * One durable consumer. Of an exclusive queue the owner alone consumes; of a shared one all do, and the owner keeps the
 * bindings.
 *
 * - `waiting`: there is no session. The next one moves it on.
 * - `declaring`: the queue is being declared, or looked for after a reconnect.
 * - `claimed`: the claim stands, and tells who owns the queue. Within it:
 *   - `asking`: no word yet. - `deciding`: looks at what it knows and goes on at once.
 *   - `standby`: another master owns it. - `active`: the pump runs. - `paused`: what was in hand was given back.
 *   - `fenced`: the ownership ended; calls that still run are waited for, then it stands by, or owns again.
 * - `interrupted`: the session is lost or the queue given up; calls that still run are waited for.
 * - `gone`: the queue was deleted; calls that still run are waited for, then it is lost, or declared anew.
 * - `draining`: calls end, the rest is given back, the ownership is handed over.
 * - `stopped`, `lost` (the queue was deleted), `failed` (refused for good): final.
 *
 * A refusal that may pass, and a pump that fails, crash the actor: its supervisor starts it again after a while.
 */
export const consumerMachine = setup({
  types: {
    context: {} as ConsumerContext,
    input: {} as ConsumerInput,
    events: {} as ConsumerEvent,
  },
  actors: {
    session: promiseSlot<void, ConsumerContext>(),
    declare: promiseSlot<ConsumerDeclared, ConsumerContext>(),
    /** Lets the handle tell this actor something. */
    control: resourceSlot<ConsumerEvent, ConsumerContext>(),
    /** Claims the queue and, when granted, makes its bindings this consumer's. */
    claim: resourceSlot<ConsumerEvent, ConsumerContext>(),
    pump: resourceSlot<ConsumerEvent, ConsumerContext>(),
    /** Resolves when no call runs any more, or patience ends. */
    windDown: promiseSlot<void, ConsumerContext>(),
    /** Aborts the signals of calls that run, waits as windDown does, withdraws the claim; rejects if the broker's refusal may pass. */
    retreat: promiseSlot<void, ConsumerContext>(),
    /** Lets calls end, gives back what is in hand; the ownership stays. */
    giveBack: promiseSlot<void, ConsumerContext>(),
    /** As giveBack, and hands the ownership over. */
    drain: promiseSlot<void, ConsumerContext>(),
    /** As retreat, and forgets the queue that was deleted, so that `declare` creates it. */
    forget: promiseSlot<void, ConsumerContext>(),
  },
  actions: {
    report: (_, _params: { number: number; status: ConsumerStatus }) => {},
    own: assign({ owns: true }),
    disown: assign({ owns: false }),
  },
  guards: {
    isPaused: ({ context }) => context.paused,
    mayConsume: ({ context }) => context.owns || context.ownership === 'shared',
    isExclusive: ({ context }) => context.ownership === 'exclusive',
    recreates: ({ context }) => context.ifDeleted === 'recreate',
  },
}).createMachine({
  id: 'consumer',
  context: ({ input }) => ({ ...input, owns: false }),
  invoke: { src: 'control', input: ({ context }) => context },
  initial: 'declaring',
  on: {
    'pause.requested': { actions: assign({ paused: true }) },
    'resume.requested': { actions: assign({ paused: false }) },
  },
  states: {
    waiting: {
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'waiting' }) },
      invoke: { src: 'session', input: ({ context }) => context, onDone: 'declaring', onError: 'failed' },
      on: { 'supervisor.stop': 'draining' },
    },
    declaring: {
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'declaring' }) },
      invoke: {
        src: 'declare',
        input: ({ context }) => context,
        onDone: [
          { guard: ({ event }) => event.output.type === 'done', target: 'claimed' },
          { guard: ({ event }) => event.output.type === 'queue.lost', target: 'gone' },
          { guard: ({ event }) => event.output.type === 'failed', target: 'failed' },
          { target: 'waiting' },
        ],
      },
      on: { 'supervisor.stop': 'draining' },
    },
    claimed: {
      entry: 'disown',
      invoke: { src: 'claim', input: ({ context }) => context },
      initial: 'asking',
      on: {
        'claim.granted': { actions: 'own' },
        'claim.fenced': { actions: 'disown' },
        'claim.failed': 'failed',
        'claim.crashed': 'interrupted',
        'queue.lost': 'gone',
        'session.lost': 'interrupted',
        'supervisor.stop': 'draining',
      },
      states: {
        asking: {
          on: { 'claim.granted': { target: 'deciding', actions: 'own' }, 'claim.standby': 'deciding' },
        },
        deciding: {
          always: [
            { guard: 'isPaused', target: 'paused' },
            { guard: 'mayConsume', target: 'active' },
            { target: 'standby' },
          ],
        },
        standby: {
          entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'standby' }) },
          on: {
            'claim.granted': { target: 'deciding', actions: 'own' },
            'pause.requested': { target: 'paused', actions: assign({ paused: true }) },
          },
        },
        active: {
          entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'active' }) },
          invoke: { src: 'pump', input: ({ context }) => context },
          on: {
            'claim.fenced': [
              { guard: 'isExclusive', target: 'fenced', actions: 'disown' },
              { actions: 'disown' },
            ],
            'pump.stuck': '#consumer.yielding',
            'pump.failed': '#consumer.interrupted',
            'pause.requested': { target: 'paused', actions: assign({ paused: true }) },
          },
        },
        paused: {
          entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'paused' }) },
          invoke: { src: 'giveBack', input: ({ context }) => context },
          on: { 'resume.requested': { target: 'deciding', actions: assign({ paused: false }) } },
        },
        fenced: {
          entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'fenced' }) },
          invoke: {
            src: 'windDown',
            input: ({ context }) => context,
            onDone: 'deciding',
            onError: 'deciding',
          },
        },
      },
    },
    interrupted: {
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'waiting' }) },
      invoke: { src: 'retreat', input: ({ context }) => context, onDone: 'waiting' },
      on: { 'supervisor.stop': 'draining' },
    },
    yielding: {
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'fenced' }) },
      invoke: { src: 'drain', input: ({ context }) => context, onDone: 'waiting', onError: 'waiting' },
      on: { 'supervisor.stop': 'draining' },
    },
    gone: {
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'waiting' }) },
      invoke: {
        src: 'forget',
        input: ({ context }) => context,
        onDone: [{ guard: 'recreates', target: 'declaring' }, { target: 'lost' }],
        onError: 'lost',
      },
      on: { 'supervisor.stop': 'draining' },
    },
    draining: {
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'draining' }) },
      invoke: { src: 'drain', input: ({ context }) => context, onDone: 'stopped', onError: 'stopped' },
    },
    stopped: {
      type: 'final',
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'stopped' }) },
    },
    lost: {
      type: 'final',
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'lost' }) },
    },
    failed: {
      type: 'final',
      entry: { type: 'report', params: ({ context }) => ({ number: context.number, status: 'failed' }) },
    },
  },
});
