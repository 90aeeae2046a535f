import { TimeoutError, type Master, type Receipt } from 'signalbox';
import { BUILDERS } from './builds.js';
import { readCommits, type Commit } from './history.js';
import { confirmed, type Farm } from './records.js';
import { REQUESTS, TREE } from './schedulers.js';

/** Changes that are published in one go, without waiting for one before the next. */
export interface Push {
  readonly size: number;
  /** Called when half of them are out; the others come when it resolves. */
  readonly middle: () => Promise<void>;
}

/** The change source: publishes the history push by push. `next` resolves when the push that begins with that change may go. */
export async function publishChanges(
  master: Master,
  farm: Farm,
  { commits, next }: { readonly commits: number; readonly next: (first: number) => Promise<Push> },
): Promise<void> {
  const history = readCommits(farm.repository, commits, farm.processes);
  const publish = async (number: number, { hash, ...rest }: Commit) => {
    const topic = ['changes', `${number}`, 'new'];
    const change = { commit: hash, branch: farm.repository.branch, ...rest };
    const receipt = await untilConfirmed(master.publish(topic, change));
    // It is owed all the way: to whoever waits for quiet, to whoever asks for its build, and to those who build.
    farm.report(confirmed(topic, receipt, [TREE, REQUESTS, BUILDERS]));
  };
  try {
    for (let first = 1; first <= commits;) {
      const { size, middle } = await next(first);
      const push: Commit[] = [];
      while (push.length < size) push.push((await history.next()).value as Commit);
      const half = size >> 1;
      const publishing = push.slice(0, half).map((commit, index) => publish(first + index, commit));
      // They are waited for a little later, and must not count as unhandled until then.
      for (const one of publishing) one.catch(() => {});
      await middle();
      publishing.push(...push.slice(half).map((commit, index) => publish(first + half + index, commit)));
      await Promise.all(publishing);
      first += size;
    }
  } finally {
    await history.return(undefined);
  }
}

/** What the broker does not confirm in time is sent again, under the same id, until it is confirmed. */
async function untilConfirmed(publishing: Promise<Receipt>): Promise<Receipt> {
  for (;;)
    try {
      return await publishing;
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      publishing = error.retry();
    }
}
