import { assign, cancel, emit, enqueueActions, raise, setup } from 'xstate';
import type { Message } from '../../src/model/message.js';
import { publication, type MessageEvent, type Publication, type PublishEvent } from './publish.js';

export interface TreeStableOptions {
  /** So long nothing may change in a branch. */
  readonly quietMs: number;
  readonly publish: Publication<{ readonly branch: string; readonly changes: readonly unknown[] }>;
  /** Of a change; by default the `branch` of its data. */
  readonly branchOf?: (message: Message) => string;
  /** What of a change is kept, and published in the end; by default its data. */
  readonly changeOf?: (message: Message) => unknown;
  /** After so many changes nobody waits for quiet any more. Default 1,000. */
  readonly changesMax?: number;
}

type Quiet = { type: 'branch.quiet'; branch: string };

/**
 * Waits until a branch has been quiet for a while, and then publishes its changes together. Branches do not wait for each
 * other.
 */
export function treeStable(options: TreeStableOptions) {
  const { quietMs, publish, branchOf = branchOfData, changeOf = dataOf, changesMax = 1_000 } = options;
  return setup({
    types: {
      context: {} as { readonly branches: ReadonlyMap<string, readonly unknown[]> },
      events: {} as MessageEvent | Quiet,
      emitted: {} as PublishEvent,
    },
  }).createMachine({
    id: 'treeStable',
    context: { branches: new Map() },
    initial: 'watching',
    states: {
      watching: {
        on: {
          'branch.quiet': {
            actions: enqueueActions(({ context, event, enqueue }) => {
              const { branch } = event as Quiet;
              const changes = context.branches.get(branch);
              if (!changes) return;
              enqueue(emit(publication(publish, { branch, changes })));
              const branches = new Map(context.branches);
              branches.delete(branch);
              enqueue(assign({ branches }));
            }),
          },
          '*': {
            guard: ({ event }) => 'message' in event,
            actions: enqueueActions(({ context, event, enqueue }) => {
              const { message } = event as MessageEvent;
              const branch = branchOf(message);
              const changes = [...(context.branches.get(branch) ?? []), changeOf(message)];
              enqueue(assign({ branches: new Map(context.branches).set(branch, changes) }));
              const timer = `quiet.${branch}`;
              const quiet: Quiet = { type: 'branch.quiet', branch };
              enqueue(cancel(timer));
              enqueue(
                changes.length < changesMax ? raise(quiet, { id: timer, delay: quietMs }) : raise(quiet),
              );
            }),
          },
        },
      },
    },
  });
}

function branchOfData({ data }: Message): string {
  const { branch } = (data ?? {}) as { readonly branch?: unknown };
  return typeof branch === 'string' ? branch : '';
}

function dataOf({ data }: Message): unknown {
  return data;
}
