import { createMaster, type MasterOptions } from 'signalbox';

/** What Node is busy with, before the farm and after it: the difference is what the farm left. */
export function activeResources(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const type of process.getActiveResourcesInfo()) counts.set(type, (counts.get(type) ?? 0) + 1);
  return counts;
}

/**
 * For after every master has stopped: another one looks at the broker, and deletes the queues, since the farm is over. Tells,
 * a sentence each, of messages, owners, standbys and consumers of a queue, and of queues that cannot be deleted.
 */
export async function cleanBroker(at: Pick<MasterOptions, 'broker' | 'namespace'>): Promise<string[]> {
  const found: string[] = [];
  await using inspector = await createMaster({ name: 'inspector', ...at });
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

/** So many turns of the event loop something that has been closed may take to be gone. */
const TURNS_MAX = 100;

/** Timers, sockets, child processes and whatever else keeps Node busy that was not there before. */
export async function newResources(before: ReadonlyMap<string, number>): Promise<string[]> {
  for (let turn = 0; ; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    const found = [...activeResources()]
      .map(([type, count]) => ({ type, count: count - (before.get(type) ?? 0) }))
      .filter(({ count }) => count > 0);
    if (found.length === 0 || turn === TURNS_MAX)
      return found.flatMap(({ type, count }) => Array.from({ length: count }, () => `a ${type} of Node`));
  }
}
