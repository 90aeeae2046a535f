import { assign, emit, setup } from 'xstate';
import type { Message } from '../../src/index.js';

/** Order and number of all that was folded show in the result. */
function fold(hash: number, n: number): number {
  return (Math.imul(hash, 31) + n) | 0;
}

/** What folding numbers comes to: two that have folded the same in the same order are equal. */
export interface Folded {
  readonly count: number;
  readonly hash: number;
}

export function folded(numbers: readonly number[]): Folded {
  return { count: numbers.length, hash: numbers.reduce(fold, 0) };
}

/** Folds the numbers it gets, publishes each, and tells its state when it is asked. */
function folding(name: string, publishes: readonly string[]) {
  return setup({
    types: {
      context: {} as Folded,
      events: {} as { type: string; message: Message<{ sequence: number }> },
      emitted: {} as { type: 'publish'; topic: string; data: unknown },
    },
    actions: {
      tell: emit(({ context }) => ({ type: 'publish', topic: `told.${name}`, data: context })),
      fold: assign(({ context, event }) => ({
        count: context.count + 1,
        hash: fold(context.hash, event.message.data.sequence),
      })),
      pass: emit(({ event }) => ({ type: 'publish', topic: 'steps', data: event.message.data })),
    },
  }).createMachine({
    id: name,
    context: { count: 0, hash: 0 },
    on: {
      ask: { actions: 'tell' },
      '*': { actions: ['fold', ...publishes.map(() => 'pass' as const)] },
    },
  });
}

/** The schedulers by name, with what they are bound to. The second one folds what the first one publishes. */
export const SCHEDULERS = {
  first: { bindings: ['numbers', 'ask'], logic: folding('first', ['steps']) },
  second: { bindings: ['steps', 'ask'], logic: folding('second', []) },
};
