import { emit, enqueueActions, raise, setup } from 'xstate';
import type { Message } from '../../src/index.js';

export interface AlarmData {
  readonly name: string;
  readonly afterMs: number;
}

/** Says the name of an alarm on `rings.<name>` so long after it was set, and that it is set on `set.<name>`. */
const alarms = setup({
  types: {
    events: {} as { type: 'alarms.new'; message: Message<AlarmData> } | { type: 'ring'; name: string },
    emitted: {} as { type: 'publish'; topic: readonly string[]; data: unknown },
  },
}).createMachine({
  id: 'alarms',
  on: {
    'alarms.new': {
      actions: enqueueActions(({ event, enqueue }) => {
        const { name, afterMs } = event.message.data;
        enqueue(raise({ type: 'ring', name }, { id: name, delay: afterMs }));
        enqueue(emit({ type: 'publish', topic: ['set', name], data: { sequence: 0 } }));
      }),
    },
    ring: {
      actions: emit(({ event }) => ({
        ...{ type: 'publish', topic: ['rings', event.name], data: { sequence: 0 } },
      })),
    },
  },
});

export const ALARMS = { alarms: { bindings: ['alarms.new'], logic: alarms } };
