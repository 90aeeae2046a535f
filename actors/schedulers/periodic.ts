import { assign, emit, setup } from 'xstate';
import { publication, type MessageEvent, type Publication, type PublishEvent } from './publish.js';

export interface PeriodicOptions {
  readonly everyMs: number;
  readonly publish: Publication<{ readonly run: number }>;
}

/** Publishes again and again, first after `everyMs`. What was missed while no master ran is made up for once. */
export function periodic({ everyMs, publish }: PeriodicOptions) {
  return setup({
    types: {
      context: {} as { readonly run: number },
      events: {} as MessageEvent,
      emitted: {} as PublishEvent,
    },
    delays: { period: everyMs },
  }).createMachine({
    id: 'periodic',
    context: { run: 0 },
    initial: 'waiting',
    states: {
      waiting: {
        after: {
          period: {
            target: 'waiting',
            reenter: true,
            actions: [
              assign({ run: ({ context }) => context.run + 1 }),
              emit(({ context }) => publication(publish, { run: context.run })),
            ],
          },
        },
      },
    },
  });
}
