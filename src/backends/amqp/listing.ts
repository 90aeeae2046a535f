import type { QueueStatus } from '../../backend.js';
import type { KnownQueue } from './control.js';
import type { DurableQueues } from './durable-queues.js';

interface Answer {
  readonly master: string;
  readonly queues: readonly KnownQueue[];
}

/**
 * AMQP lists no queues: masters say what they know, and the broker whether it is still there. Resolves with the queues that are,
 * and calls `gone` for the others.
 */
export async function listQueues(
  answers: readonly Answer[],
  queues: DurableQueues,
  gone: (name: string) => void,
): Promise<QueueStatus[]> {
  const byName = new Map<string, { master: string; known: KnownQueue }[]>();
  for (const { master, queues: known } of answers)
    for (const queue of known)
      byName.set(queue.name, [...(byName.get(queue.name) ?? []), { master, known: queue }]);
  const statuses: QueueStatus[] = [];
  for (const [name, told] of byName) {
    const found = await queues.work(name);
    if (found) statuses.push(statusOf(name, told, found));
    else gone(name);
  }
  return statuses;
}

function statusOf(
  name: string,
  told: readonly { master: string; known: KnownQueue }[],
  found: { readonly messageCount: number; readonly consumerCount: number },
): QueueStatus {
  const owners = told.filter(({ known }) => known.role === 'owner');
  // A former one may not have noticed.
  const owner = owners.sort((one, other) => other.known.epoch - one.known.epoch)[0];
  const standbys = told.filter(({ known }) => known.role === 'standby').map(({ master }) => master);
  const consumes = found.consumerCount > 0 || told.some(({ known }) => known.consumes);
  return {
    name,
    ownership: told.find(({ known }) => known.ownership)?.known.ownership ?? 'exclusive',
    bindings: [...(owner?.known.bindings ?? [])].sort(),
    depth: found.messageCount,
    depthKind: 'ready',
    owner: owner?.master,
    epoch: owner?.known.epoch ?? Math.max(0, ...told.map(({ known }) => known.epoch)),
    standbys,
    state: consumes ? 'active' : owner || standbys.length > 0 ? 'standby' : 'idle',
    oldestAt: undefined,
  };
}
