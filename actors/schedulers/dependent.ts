import { emit, setup } from 'xstate';
import type { Message } from '../../src/model/message.js';
import { publication, type MessageEvent, type Publication, type PublishEvent } from './publish.js';

export interface DependentOptions {
  /** Whether this message says that the other one is complete; by default each does that it is bound to. */
  readonly when?: (message: Message) => boolean;
  readonly publish: Publication<Message>;
}

/** Publishes when another is complete: bind it to what says so. */
export function dependent({ when = () => true, publish }: DependentOptions) {
  return setup({
    types: { events: {} as MessageEvent, emitted: {} as PublishEvent },
  }).createMachine({
    id: 'dependent',
    initial: 'waiting',
    states: {
      waiting: {
        on: {
          '*': {
            guard: ({ event }) => 'message' in event && when(event.message),
            actions: emit(({ event }) =>
              publication(publish.data ? publish : { ...publish, data: ({ data }) => data }, event.message),
            ),
          },
        },
      },
    },
  });
}
