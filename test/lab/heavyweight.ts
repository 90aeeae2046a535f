import { setup } from 'xstate';
import type { Message } from '../../src/index.js';

/** A machine of two states with a state of so many bytes, which says of each message that it is taken in. */
export function heavyweight(begun: (message: Message) => void) {
  return setup({
    types: {
      context: {} as { readonly ballast: string },
      input: {} as number,
      events: {} as { readonly type: 't.a'; readonly message: Message },
    },
    actions: { begun: ({ event }) => begun(event.message) },
  }).createMachine({
    id: 'heavyweight',
    context: ({ input }) => ({ ballast: 'x'.repeat(input) }),
    initial: 'locked',
    states: {
      locked: { on: { 't.a': { target: 'unlocked', actions: 'begun' } } },
      unlocked: { on: { 't.a': { target: 'locked', actions: 'begun' } } },
    },
  });
}
