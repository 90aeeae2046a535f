import { createMaster, type Master, type MasterOptions } from 'signalbox';
import { build } from './builds.js';
import type { Farm } from './records.js';
import { schedule } from './schedulers.js';
import { Transitions } from './transitions.js';

/*
 * What the masters of the farm do. A role takes a master and the farm, and needs nothing else: it runs as well in a
 * process of its own. What it has to say goes through `farm.report` as plain data.
 */

/** A build master that does nothing yet. */
export async function hire(
  name: string,
  at: Pick<MasterOptions, 'broker' | 'namespace'>,
  farm: Farm,
): Promise<Master> {
  const transitions = new Transitions(name, farm);
  const master = await createMaster({ name, ...at, inspect: transitions.inspect });
  transitions.watch(master);
  watch(master, farm);
  return master;
}

/** What a build master does. Resolves when it schedules and builds. */
export async function work(master: Master, farm: Farm): Promise<void> {
  await schedule(master);
  await build(master, farm);
}

/** Reports what a master says of itself. Until the master stops. */
export function watch(master: Master, farm: Farm): void {
  const trouble = (text: string) => farm.report({ type: 'trouble', master: master.name, text });
  master.on('owner', ({ queue, epoch, status }) =>
    farm.report({ type: 'owner', master: master.name, queue, epoch, status }),
  );
  master.on('failure', ({ queue, topic, attempt, error }) =>
    trouble(`attempt ${attempt} of ${topic} failed${queue ? ` in ${queue}` : ''}: ${error.message}`),
  );
  master.on('dead-letter', ({ queue, id, error }) => trouble(`${id} is a dead letter of ${queue}: ${error}`));
  master.on('lost', ({ queue, reason }) => trouble(`${queue} is lost: ${reason.message}`));
  master.on('gap', ({ reason, missed }) =>
    trouble(`a subscriber missed ${missed ?? 'some'} messages: ${reason}`),
  );
  master.on('restart', ({ child, reason }) => trouble(`${child} was restarted: ${reason.message}`));
  master.on('warning', ({ text }) => trouble(text));
  master.done.catch((error: unknown) => trouble(String(error)));
  master.on('session', ({ state, reason }) => {
    if (state === 'waiting' || state === 'blocked' || state === 'failed')
      trouble(`the session is ${state}: ${reason}`);
  });
}
