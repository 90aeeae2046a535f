import type { QueueStatus } from '../../backend.js';
import type { StreamConsumers } from './consumers.js';
import type { Known } from './control.js';
import type { DurableQueues, KnownLease } from './durable-queues.js';
import { patternsOf } from './lease.js';
import type { Names } from './names.js';

export interface Listed {
  readonly events: StreamConsumers;
  readonly letters: StreamConsumers;
  readonly names: Names;
}

/** What the leases say, and the living masters, and the server of what waits. */
export async function listQueues(
  queues: DurableQueues,
  known: readonly Known[],
  listed: Listed,
): Promise<QueueStatus[]> {
  const all = await queues.list();
  return Promise.all(all.map((one) => statusOf(one, known, listed)));
}

async function statusOf(
  { name, known: { lease } }: { readonly name: string; readonly known: KnownLease },
  known: readonly Known[],
  { events, letters, names }: Listed,
): Promise<QueueStatus> {
  const again = lease.ownership === 'shared' ? names.sharedAgain(name) : lease.again;
  const infos = await Promise.all([
    ...lease.segments.map(({ consumer }) => events.info(consumer)),
    ...(again === undefined ? [] : [letters.info(again)]),
  ]);
  const depth = infos.reduce((sum, info) => sum + (info ? info.num_pending + info.num_ack_pending : 0), 0);
  const told = known.flatMap(({ master, session, queues }) =>
    queues.filter((queue) => queue.name === name).map((queue) => ({ master, session, ...queue })),
  );
  const owner = told.find(({ session, owns }) => owns && session === lease.session);
  const standbys = told.filter(({ isStandby }) => isStandby).map(({ master }) => master);
  const consumes = told.some((one) => one.consumes);
  return {
    name,
    ownership: lease.ownership,
    bindings: [...patternsOf(lease)].sort(),
    depth,
    depthKind: 'all',
    owner: owner?.master,
    epoch: lease.epoch,
    standbys,
    state: consumes ? 'active' : owner || standbys.length > 0 ? 'standby' : 'idle',
    oldestAt: undefined,
  };
}
