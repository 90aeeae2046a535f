import type { Master } from '../../src/index.js';
import type { SubscriptionHandle } from '../../src/master/subscriber.js';

export interface ChurnPlan {
  /** So many subscriptions are begun, and each is stopped. */
  readonly count: number;
  readonly seed: number;
  /** Topics that somebody publishes meanwhile: patterns are made of them. */
  readonly topics: readonly string[];
}

export interface ChurnOutcome {
  readonly calls: number;
  /** Calls of a handler whose `stop` had resolved. */
  readonly late: number;
}

/** So many subscribes and stops are under way at a time. */
const AT_A_TIME = 40;

/** Subscribes and stops in random order, many at a time; also those that are not yet declared are stopped. */
export async function churn(master: Master, { count, seed, topics }: ChurnPlan): Promise<ChurnOutcome> {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const open: SubscriptionHandle[] = [];
  let calls = 0;
  let late = 0;
  let begun = 0;

  const subscribe = async () => {
    begun++;
    let isStopped = false;
    const pattern = pick([pick(topics), `${pick(topics).split('.')[0]}.*`, '#', `own.${begun}`]);
    // Some change their mind at once.
    const signal = random() < 0.1 ? AbortSignal.timeout(1) : undefined;
    const handle = await master
      .subscribe(pattern, { ...(signal && { signal }) }, () => {
        if (isStopped) late++;
        else calls++;
      })
      .catch((thrown: unknown) => {
        if (!signal) throw thrown;
      });
    if (!handle) return;
    void handle.ended.then(() => (isStopped = true));
    open.push(handle);
  };
  const stop = async () => {
    const [handle] = open.splice(Math.floor(random() * open.length), 1);
    await handle?.stop();
  };
  const go = async () => {
    while (begun < count) await (open.length > 0 && random() < 0.5 ? stop() : subscribe());
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, go));
  await Promise.all(open.map((handle) => handle.stop()));
  return { calls, late };
}

/** A small generator of numbers from 0 to 1: the same seed, the same numbers. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
