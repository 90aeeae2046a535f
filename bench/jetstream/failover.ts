import { measure } from '../failover.js';
import { median, result, type Result } from '../result.js';
import { withNats } from './broker.js';

const RUNS = 30;
const SECONDS_MAX = 300;

/** As the bench of the same name, over one nats-server. */
export async function run(): Promise<Result[]> {
  return withNats(SECONDS_MAX, async ({ url }) => {
    const lab = { broker: url, ownerTimeoutMs: 3_000 };
    const killed = await measure({ runs: RUNS, lab, go: (owner) => owner.kill() });
    const stopped = await measure({ runs: RUNS, lab, go: (owner) => owner.stop() });
    return [
      result(`killed, ${RUNS} runs: median`, median(killed.times), 'ms', { atMost: 500 }),
      result('killed: slowest', Math.max(...killed.times), 'ms', { atMost: 1_000 }),
      result(`stopped, ${RUNS} runs: median`, median(stopped.times), 'ms', { atMost: 50 }),
      result('stopped: slowest', Math.max(...stopped.times), 'ms'),
      result('stopped: redelivered', stopped.redelivered, 'messages', { atMost: 0 }),
      result('effects of a former owner accepted', killed.twoOwners + stopped.twoOwners, 'effects', {
        atMost: 0,
      }),
      result('lost, duplicated or out of order', killed.broken + stopped.broken, 'messages', { atMost: 0 }),
    ];
  });
}
