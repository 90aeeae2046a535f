import { createMaster, type Master } from 'signalbox';
import type { Processes } from './processes.js';

/** What Node is busy with, before the farm and after it: the difference is what the farm left. */
export function activeResources(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const type of process.getActiveResourcesInfo()) counts.set(type, (counts.get(type) ?? 0) + 1);
  return counts;
}

/** So many turns of the event loop something that has been closed may take to be gone. */
const TURNS_MAX = 100;

/**
 * Looks, after every master has stopped, for what must not be there: one sentence for each. At the broker: messages, owners,
 * standbys and consumers of a queue, and queues that cannot be deleted. Here: masters and actors that have not ended,
 * child processes, timers, sockets and whatever else keeps Node busy.
 */
export async function findLeftBehind(farm: {
  readonly broker: string;
  readonly masters: readonly Master[];
  readonly processes: Processes;
  readonly before: ReadonlyMap<string, number>;
}): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { name, status, actor } of farm.masters) {
    if (status !== 'stopped') found.push(`master ${name} is ${status}`);
    const { status: running } = actor.getSnapshot() as { status: string };
    if (running === 'active') found.push(`the root actor of ${name} still runs`);
  }
  found.push(...(await atBroker(farm.broker)));
  if (farm.processes.running > 0) found.push(`${farm.processes.running} child processes`);
  found.push(...(await newResources(farm.before)));
  return found;
}

/** Another master looks, and deletes the queues: the farm is over. */
async function atBroker(broker: string): Promise<string[]> {
  const found: string[] = [];
  await using inspector = await createMaster({ name: 'inspector', broker });
  for (const { name, depth, owner, standbys, state } of await inspector.queues()) {
    if (depth > 0) found.push(`${depth} messages in ${name}`);
    if (owner !== undefined) found.push(`${name} is owned by ${owner}`);
    for (const standby of standbys) found.push(`${standby} stands by for ${name}`);
    if (state === 'active') found.push(`${name} has a consumer`);
    await inspector.deleteQueue(name).catch((error: unknown) => found.push(String(error)));
  }
  for (const { name } of await inspector.queues()) found.push(`queue ${name} is still there`);
  return found;
}

async function newResources(before: ReadonlyMap<string, number>): Promise<string[]> {
  for (let turn = 0; ; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    const found = [...activeResources()]
      .map(([type, count]) => ({ type, count: count - (before.get(type) ?? 0) }))
      .filter(({ count }) => count > 0);
    if (found.length === 0 || turn === TURNS_MAX)
      return found.flatMap(({ type, count }) => Array.from({ length: count }, () => `a ${type} of Node`));
  }
}
