import {
  fromCallback,
  fromPromise,
  type CallbackActorLogic,
  type EventObject,
  type PromiseActorLogic,
} from 'xstate';

/*
 * A machine names its effects as slots; whoever runs it fills them with `provide()`. An empty slot fails its state.
 */

/** Work that ends: the state goes on when it resolves. */
export function promiseSlot<Output, Input>(): PromiseActorLogic<Output, Input> {
  return fillPromise(() => Promise.reject(new Error('This slot is empty: provide() it.')));
}

/** A resource that lives as long as the state that invokes it, and tells its actor by events. */
export function resourceSlot<Event extends EventObject, Input>(): CallbackActorLogic<Event, Input> {
  return fillResource(() => {
    throw new Error('This slot is empty: provide() it.');
  });
}

/** `signal` aborts when the state is left before the work has ended. */
export function fillPromise<Output, Input>(
  work: (input: Input, signal: AbortSignal) => Promise<Output>,
): PromiseActorLogic<Output, Input> {
  return fromPromise<Output, Input>(({ input, signal }) => work(input, signal));
}

/** Returns what ends the resource; called when the state is left, for whatever reason. */
export function fillResource<Event extends EventObject, Input>(
  hold: (input: Input, tell: (event: Event) => void) => () => void,
): CallbackActorLogic<Event, Input> {
  return fromCallback<Event, Input>(({ input, sendBack }) => hold(input, sendBack));
}
