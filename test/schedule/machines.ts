import { assign, emit, setup } from 'xstate';
import type { Message } from '../../src/index.js';

type Incoming = { type: string; message: Message<number> };

/** Adds up what it gets, and publishes each sum. */
export const sums = setup({
  types: {
    context: {} as { sum: number; seen: number[] },
    events: {} as Incoming,
    input: undefined as { from?: number } | undefined,
    emitted: {} as { type: 'publish'; topic: string; data: unknown },
  },
}).createMachine({
  id: 'sums',
  context: ({ input }) => ({ sum: input?.from ?? 0, seen: [] }),
  initial: 'adding',
  states: {
    adding: {
      on: {
        'numbers.*': {
          actions: [
            assign({
              sum: ({ context, event }) => context.sum + event.message.data,
              seen: ({ context, event }) => [...context.seen, event.message.data],
            }),
            emit(({ context }) => ({ type: 'publish', topic: 'sums.new', data: context.sum })),
          ],
        },
      },
    },
  },
});
