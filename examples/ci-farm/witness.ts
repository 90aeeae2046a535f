import type { Master, Message } from 'signalbox';
import { originOf, type Farm } from './records.js';
import { GOOD, REQUESTS, TREE, type Buildset, type GoodCommit, type PlannedChange } from './schedulers.js';

const WITNESS = 'witness';

/**
 * Says what the schedulers have done, by what they publish: their handlers are statecharts and report nothing. A message is
 * handled by a scheduler when what that has made of it is here; a repeat that is not flagged, a message that never
 * arrives, one that overtakes another, and two histories of one scheduler all show in the ledger. On a master that nobody
 * harms, by a durable queue: what is missing here was not published.
 */
export async function testify(master: Master, farm: Farm): Promise<void> {
  const bindings = ['buildsets.new', 'buildrequests.*.new', 'commits.good'];
  await master.consume(WITNESS, { bindings }, (message, { redelivered, attempt }) => {
    const { queue, ids } = saidBy(message);
    // What a scheduler emits is numbered in the order of its decisions, and all under the name of its queue. So the number
    // stands for the epoch: one that comes after a higher one was decided by somebody who was the owner no more.
    const { producer: history, sequence: epoch } = originOf(message.id);
    // A repeat was heard, or sent, at its place before.
    if (!redelivered) farm.report({ type: 'effect', queue, epoch, master: history, observer: master.name });
    for (const id of ids)
      farm.report({
        ...{ type: 'handled', queue, id, master: history, epoch, attempt, redelivered },
        resent: false,
      });
  });
}

/** Which scheduler has published it, and of which messages it is made. */
function saidBy({ words, data }: Message): { readonly queue: string; readonly ids: readonly string[] } {
  switch (words[0]) {
    case 'buildsets':
      return { queue: TREE, ids: (data as Buildset).changes.map(({ id }) => id) };
    case 'buildrequests':
      return { queue: REQUESTS, ids: [(data as PlannedChange).id] };
    default:
      return { queue: GOOD, ids: [(data as GoodCommit).id] };
  }
}
