import type { Master, Message } from 'signalbox';
import { dependent, treeStable } from 'signalbox/actors';
import { emit, enqueueActions, setup } from 'xstate';
import type { Finished } from './builds.js';

/** Waits until nobody pushes any more, and makes a buildset of the changes. */
export const TREE = 'scheduler.tree';
/** Makes build requests of a buildset. */
export const REQUESTS = 'scheduler.linux';
/** Starts when a build has succeeded. */
export const GOOD = 'scheduler.good';

/** A branch is stable when nothing has come for so long. */
const QUIET_MS = 50;

/** What of a change goes on its way. */
export interface PlannedChange {
  /** Of its message. */
  readonly id: string;
  readonly number: string;
  readonly commit: string;
}

/** `buildsets.new` */
export interface Buildset {
  readonly branch: string;
  readonly changes: readonly PlannedChange[];
}

/** `commits.good` */
export interface GoodCommit {
  /** Of the message that told of its build. */
  readonly id: string;
  readonly commit: string;
}

/** Stands for the schedulers of the farm: whichever master owns one runs it, in the state in which its former owner left it. */
export async function schedule(master: Master): Promise<void> {
  await master.schedule(TREE, { bindings: ['changes.*.new'], logic: tree });
  await master.schedule(REQUESTS, { bindings: ['buildsets.new'], logic: requests });
  await master.schedule(GOOD, { bindings: ['builds.*.finished'], logic: good });
}

const tree = treeStable({
  quietMs: QUIET_MS,
  // A change with all of its files would be too much for one message with many of them.
  changeOf: ({ id, words, data }): PlannedChange => {
    const { commit } = data as { readonly commit: string };
    return { id, number: words[1]!, commit };
  },
  publish: { topic: 'buildsets.new' },
});

/** A scheduler of the farm's own: one build request for each change of a buildset, `buildrequests.<n>.new`. */
const requests = setup({
  types: {
    events: {} as { type: 'buildsets.new'; message: Message },
    emitted: {} as { type: 'publish'; topic: readonly string[]; data: PlannedChange },
  },
}).createMachine({
  id: 'requests',
  on: {
    'buildsets.new': {
      actions: enqueueActions(({ event, enqueue }) => {
        for (const data of (event.message.data as Buildset).changes)
          enqueue(emit({ type: 'publish', topic: ['buildrequests', data.number, 'new'], data }));
      }),
    },
  },
});

const good = dependent({
  when: ({ data }) => (data as Finished).exitCode === 0,
  publish: {
    topic: 'commits.good',
    data: ({ id, data }): GoodCommit => ({ id, commit: (data as Finished).commit }),
  },
});
