import type { LabMaster } from '../../test/lab/lab-master.js';
import type { Laboratory } from '../../test/lab/laboratory.js';
import type { SocketProxy } from '../../test/lab/proxy.js';
import { consumeWork, measure, type Measured } from '../failover.js';
import { median, result, type Result } from '../result.js';
import { withRabbit } from './broker.js';

const RUNS = 30;
const SECONDS_MAX = 600;
/** The shortest: a heartbeat of a second. */
const OWNER_TIMEOUT_MS = 2_000;

/** As the bench of the same name, over a RabbitMQ; and a link that nothing passes any more, though nobody has hung up. */
export async function run(): Promise<Result[]> {
  return withRabbit(SECONDS_MAX, async ({ url, port }) => {
    const lab = { broker: url, ownerTimeoutMs: OWNER_TIMEOUT_MS };
    const killed = await measure({ runs: RUNS, lab, go: (owner) => owner.kill() });
    const stopped = await measure({ runs: RUNS, lab, go: (owner) => owner.stop() });
    const links = new Map<LabMaster, SocketProxy>();
    const halfOpen = await measure({
      runs: RUNS,
      lab,
      standBy: async (laboratory, name) => {
        const { master, proxy } = await behindProxy(laboratory, name, url, port);
        links.set(master, proxy);
        return master;
      },
      go: async (owner) => links.get(owner)!.freeze('toBroker', 'fromBroker'),
      comeBack: (owner) => links.get(owner)!.thaw(),
    });
    const [killedMedian, killedSlowest] = told(killed);
    const [stoppedMedian, stoppedSlowest] = told(stopped);
    const [halfOpenMedian, halfOpenSlowest] = told(halfOpen);
    return [
      result(`killed, ${RUNS} runs: median`, killedMedian, 'ms', { atMost: 50 }),
      result('killed: slowest', killedSlowest, 'ms', { atMost: 250 }),
      result(`stopped, ${RUNS} runs: median`, stoppedMedian, 'ms', { atMost: 50 }),
      result('stopped: slowest', stoppedSlowest, 'ms'),
      result('stopped: redelivered', stopped.redelivered, 'messages', { atMost: 0 }),
      result(
        `half-open link, ${RUNS} runs, ownerTimeoutMs ${OWNER_TIMEOUT_MS}: median`,
        halfOpenMedian,
        'ms',
      ),
      result('half-open link: slowest', halfOpenSlowest, 'ms'),
      result('half-open link: effects of a former owner accepted', halfOpen.twoOwners, 'effects', {
        atMost: 0,
      }),
      result(
        'lost, duplicated or out of order',
        killed.broken + stopped.broken + halfOpen.broken,
        'messages',
        {
          atMost: 0,
        },
      ),
    ];
  });
}

function told({ times }: Measured): readonly [number, number] {
  return [median(times), Math.max(...times)];
}

async function behindProxy(lab: Laboratory, name: string, url: string, port: number) {
  const proxy = await lab.proxy(0, port);
  const master = await lab.master(name, { broker: url.replace(/:\d+$/, `:${proxy.port}`) });
  await consumeWork(master);
  return { master, proxy };
}
