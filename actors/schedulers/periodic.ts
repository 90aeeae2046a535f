import { assign, emit, setup } from 'xstate';
import { missedRunsOf, type MissedRunsOptions } from './missed-runs.js';
import { publication, type MessageEvent, type Publication, type PublishEvent } from './publish.js';

export interface PeriodicOptions extends MissedRunsOptions {
  readonly everyMs: number;
  readonly publish: Publication<{ readonly run: number }>;
}

/** Publishes again and again, first after `everyMs`; after a run that was missed, `everyMs` from when that is noticed. */
export function periodic(options: PeriodicOptions) {
  const { everyMs, publish } = options;
  const { now, leavesOut } = missedRunsOf(options);
  const next = () => new Date(now() + everyMs);
  return setup({
    types: {
      context: {} as { readonly run: number; readonly due: Date },
      events: {} as MessageEvent,
      emitted: {} as PublishEvent,
    },
    delays: { period: everyMs },
    guards: { isMissed: ({ context }) => leavesOut(context.due) },
    actions: {
      count: assign({ run: ({ context }) => context.run + 1 }),
      publish: emit(({ context }) => publication(publish, { run: context.run })),
      plan: assign({ due: next }),
    },
  }).createMachine({
    id: 'periodic',
    context: () => ({ run: 0, due: next() }),
    initial: 'waiting',
    states: {
      waiting: {
        after: {
          period: [
            { guard: 'isMissed', target: 'waiting', reenter: true, actions: 'plan' },
            { target: 'waiting', reenter: true, actions: ['count', 'publish', 'plan'] },
          ],
        },
      },
    },
  });
}
