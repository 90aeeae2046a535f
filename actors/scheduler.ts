import { sendTo, setup, type ActorLogic, type AnyActorRef, type EventObject, type Snapshot } from 'xstate';
import type { ChartEvent, ChartSnapshot, Statechart } from '../src/model/statechart.js';
import { consumerMachine, type ConsumerInput } from './consumer.js';
import { promiseSlot, resourceSlot } from './slots.js';

export type SchedulerEvent =
  /** The statechart's state is here, and changes here. */
  { type: 'statechart.runs' } | { type: 'statechart.left' } | { type: 'supervisor.stop' };

/**
 * A scheduler: a consumer, and beside it the user's statechart for as long as this master runs it.
 *
 * - `standby`: the state of the statechart is elsewhere, or is being loaded.
 * - `running`: it is here. The actor below shows it; what changes it is the consumer's data plane.
 * - `ended`: the consumer has ended.
 *
 * If the consumer crashes, so does the scheduler: its supervisor starts it again.
 */
export const schedulerMachine = setup({
  types: {
    context: {} as ConsumerInput,
    input: {} as ConsumerInput,
    events: {} as SchedulerEvent,
  },
  actors: {
    consumer: consumerMachine,
    /** Lets the data plane tell this actor something. */
    control: resourceSlot<SchedulerEvent, ConsumerInput>(),
    statechart: promiseSlot<unknown, ConsumerInput>(),
  },
}).createMachine({
  id: 'scheduler',
  context: ({ input }) => input,
  invoke: [
    { src: 'control', input: ({ context }) => context },
    { id: 'consumer', src: 'consumer', input: ({ context }) => context, onDone: '.ended' },
  ],
  on: { 'supervisor.stop': { actions: sendTo('consumer', { type: 'supervisor.stop' }) } },
  initial: 'standby',
  states: {
    standby: { on: { 'statechart.runs': 'running' } },
    running: {
      invoke: { id: 'statechart', src: 'statechart', input: ({ context }) => context },
      on: { 'statechart.runs': { target: 'running', reenter: true }, 'statechart.left': 'standby' },
    },
    ended: { type: 'final' },
  },
});

/** Shows what a statechart does that is run elsewhere: to an inspector it is an actor like any other. */
export class StatechartView {
  readonly logic: ActorLogic<Snapshot<unknown>, EventObject>;
  #snapshot: Snapshot<unknown> | undefined;
  #actor: AnyActorRef | undefined;

  constructor(chart: Statechart) {
    const { config } = chart.logic as { readonly config: unknown };
    this.logic = {
      ...{ config },
      transition: () => this.#snapshot!,
      getInitialSnapshot: () => this.#snapshot!,
      getPersistedSnapshot: (snapshot: Snapshot<unknown>) => snapshot,
      start: (_, { self }) => {
        this.#actor = self;
      },
    };
  }

  /** Without an event it is where the statechart begins. */
  show(event: ChartEvent | undefined, snapshot: ChartSnapshot): void {
    const isOver = this.#snapshot?.status !== 'active';
    this.#snapshot = snapshot as Snapshot<unknown>;
    if (event && !isOver) this.#actor?.send(event);
  }

  leave(): void {
    this.#actor = undefined;
  }
}
