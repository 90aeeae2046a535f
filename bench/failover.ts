import { eventually } from '../test/eventually.js';
import { machineNow, type BegunRecord } from '../test/lab/evidence.js';
import { Laboratory, type LaboratoryOptions } from '../test/lab/laboratory.js';
import type { LabMaster } from '../test/lab/lab-master.js';
import { median, result, type Result } from './result.js';

const RUNS = 30;
const OWNER_TIMEOUT_MS = 1_000;
export const QUEUE = 'work';

/**
 * How long a queue stands still when the process of its owner is killed, stopped or frozen: from the signal to the first
 * message that the standby's handler gets. Masters are processes, on `file:`.
 */
export async function run(): Promise<Result[]> {
  const common = { runs: RUNS, lab: { ownerTimeoutMs: OWNER_TIMEOUT_MS } };
  const killed = await measure({ ...common, go: (owner) => owner.kill() });
  const stopped = await measure({ ...common, go: (owner) => owner.stop() });
  const frozen = await measure({ ...common, go: async (owner) => owner.freeze() });
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

export interface Measured {
  readonly times: readonly number[];
  readonly redelivered: number;
  readonly twoOwners: number;
  readonly broken: number;
}

export interface Plan {
  readonly runs: number;
  readonly lab: LaboratoryOptions;
  /** Starts a master that stands for the queue. */
  readonly standBy?: (lab: Laboratory, name: string) => Promise<LabMaster>;
  /** The queues whose handlers testify; by default the one that there is. */
  readonly owed?: readonly string[];
  /** What befalls the owner. */
  readonly go: (owner: LabMaster) => Promise<void>;
  /** Undoes it, if the owner still lives. */
  readonly comeBack?: (former: LabMaster) => void;
}

/** Each run is a laboratory's life with one queue: the owner goes, the standby becomes owner, a new standby comes. */
export async function measure(plan: Plan): Promise<Measured> {
  const { runs, go, standBy = startStandby, comeBack = (former) => former.thaw(), owed = [QUEUE] } = plan;
  const lab = new Laboratory(plan.lab);
  try {
    const publisher = await lab.master('publisher');
    await publisher.call('observe', { pattern: 'effects.#' });
    let owner = await standBy(lab, 'master-1');
    let standby = await standBy(lab, 'master-2');
    const times: number[] = [];
    for (let number = 3; number < runs + 3; number++) {
      const producer = `p-${number}`;
      const queues = owed;
      await publisher.call('start', { topic: 't.a', producer, queues, perSecond: 100, inFlight: 20 });
      await eventually('the owner handles', () => begunBy(lab, owner).length > 20);
      const at = machineNow();
      const going = go(owner);
      await eventually('the standby handles', () => begunBy(lab, standby).length > 0, 30_000);
      times.push(begunBy(lab, standby)[0]!.at - at);
      console.error(`${number - 2} of ${runs}: ${times.at(-1)!.toFixed(0)} ms`);
      await publisher.call('stopPublishing', { producer });
      await going;
      if (owner.isAlive) {
        comeBack(owner);
        await makeRoom(owner);
      }
      await lab.settled(60_000);
      [owner, standby] = [standby, await standBy(lab, `master-${number}`)];
      lab.evidence.splice(0);
    }
    const { redelivered, twoOwners, lost, duplicated, reordered } = lab.ledger.judge({ leftBehind: 0 });
    return { times, redelivered, twoOwners, broken: lost + duplicated + reordered };
  } finally {
    await lab.close();
  }
}

/** A frozen owner goes on with what it was about to do, finds that its queue has another owner, and makes room. */
async function makeRoom(former: LabMaster): Promise<void> {
  await former.call('until', { queue: QUEUE, status: 'standby', timeoutMs: 30_000 });
  await former.stop();
}

async function startStandby(lab: Laboratory, name: string): Promise<LabMaster> {
  const master = await lab.master(name);
  await consumeWork(master);
  return master;
}

export async function consumeWork(master: LabMaster): Promise<void> {
  await master.call('consume', { queue: QUEUE, bindings: ['t.#'], effects: 'effects.work', handlerMs: 1 });
}

function begunBy(lab: Laboratory, { name }: LabMaster): readonly (BegunRecord & { at: number })[] {
  return lab.of('begun', name);
}
