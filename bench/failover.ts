import { eventually } from '../test/eventually.js';
import { machineNow, type BegunRecord } from '../test/lab/evidence.js';
import { Laboratory } from '../test/lab/laboratory.js';
import type { LabMaster } from '../test/lab/lab-master.js';
import { median, result, type Result } from './result.js';

const RUNS = 30;
const OWNER_TIMEOUT_MS = 1_000;
const QUEUE = 'work';

/**
 * How long a queue stands still when the process of its owner is killed, stopped or frozen: from the signal to the first
 * message that the standby's handler gets. Masters are processes, on `file:`.
 */
export async function run(): Promise<Result[]> {
  const killed = await measure(RUNS, (owner) => owner.kill());
  const stopped = await measure(RUNS, (owner) => owner.stop());
  const frozen = await measure(RUNS, async (owner) => owner.freeze());
  const told = (times: readonly number[]) => [median(times), Math.max(...times)] as const;
  const [killedMedian, killedSlowest] = told(killed.times);
  const [stoppedMedian, stoppedSlowest] = told(stopped.times);
  const [, frozenSlowest] = told(frozen.times);
  return [
    result(`killed, ${RUNS} runs: median`, killedMedian, 'ms', { atMost: 30 }),
    result('killed: slowest', killedSlowest, 'ms', { atMost: 250 }),
    result(`stopped, ${RUNS} runs: median`, stoppedMedian, 'ms', { atMost: 50 }),
    result('stopped: slowest', stoppedSlowest, 'ms'),
    result('stopped: redelivered', stopped.redelivered, 'messages', { atMost: 0 }),
    result(`frozen, ${RUNS} runs, ownerTimeoutMs ${OWNER_TIMEOUT_MS}: slowest`, frozenSlowest, 'ms', {
      atMost: OWNER_TIMEOUT_MS + 500,
    }),
    result('frozen: effects of a former owner accepted', frozen.twoOwners, 'effects', { atMost: 0 }),
    result('lost, duplicated or out of order', killed.broken + stopped.broken + frozen.broken, 'messages', {
      atMost: 0,
    }),
  ];
}

interface Measured {
  readonly times: readonly number[];
  readonly redelivered: number;
  readonly twoOwners: number;
  readonly broken: number;
}

/** Each run is a laboratory's life with one queue: the owner goes, the standby becomes owner, a new standby comes. */
async function measure(runs: number, go: (owner: LabMaster) => Promise<void>): Promise<Measured> {
  const lab = new Laboratory({ ownerTimeoutMs: OWNER_TIMEOUT_MS });
  try {
    const publisher = await lab.master('publisher');
    await publisher.call('observe', { pattern: 'effects.#' });
    let owner = await standBy(lab, 1);
    let standby = await standBy(lab, 2);
    const times: number[] = [];
    for (let number = 3; number < runs + 3; number++) {
      const producer = `p-${number}`;
      const queues = [QUEUE];
      await publisher.call('start', { topic: 't.a', producer, queues, perSecond: 100, inFlight: 20 });
      await eventually('the owner handles', () => begunBy(lab, owner).length > 20);
      const at = machineNow();
      const going = go(owner);
      await eventually('the standby handles', () => begunBy(lab, standby).length > 0);
      times.push(begunBy(lab, standby)[0]!.at - at);
      await publisher.call('stopPublishing', { producer });
      await going;
      if (owner.isAlive) await comeBack(owner);
      await lab.settled(60_000);
      [owner, standby] = [standby, await standBy(lab, number)];
      lab.evidence.splice(0);
    }
    const { redelivered, twoOwners, lost, duplicated, reordered } = lab.ledger.judge({ leftBehind: 0 });
    return { times, redelivered, twoOwners, broken: lost + duplicated + reordered };
  } finally {
    await lab.close();
  }
}

/** A frozen owner goes on with what it was about to do, finds that its queue has another owner, and makes room. */
async function comeBack(former: LabMaster): Promise<void> {
  former.thaw();
  await former.call('until', { queue: QUEUE, status: 'standby' });
  await former.stop();
}

async function standBy(lab: Laboratory, number: number): Promise<LabMaster> {
  const master = await lab.master(`master-${number}`);
  await master.call('consume', { queue: QUEUE, bindings: ['t.#'], effects: 'effects.work', handlerMs: 1 });
  return master;
}

function begunBy(lab: Laboratory, { name }: LabMaster): readonly (BegunRecord & { at: number })[] {
  return lab.of('begun', name);
}
