import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readChanges } from './change-list.js';
import type { Databases } from './databases.js';
import type { Instance } from './instance.js';
import { findLogs, readLog } from './log.js';
import { packLogMark, unpackLogMark } from './records.js';
import { TableChanges } from './table-changes.js';

/**
 * Puts into the table what earlier hubs have written down and their tables had not taken. Called in a transaction of its
 * own after this hub has taken the folder, as long as no later one has: an earlier one that still runs can write, but looks
 * who has the folder before it says that something is safe. Throws Damage.
 */
export function takeOverLogs(folder: string, databases: Databases, { version }: Instance): void {
  const { meta } = databases;
  const taken = unpackLogMark(meta.getBinary('log'));
  const changes = new TableChanges();
  for (const log of findLogs(folder)) {
    if (log.hub < taken.hub || log.hub >= version) continue;
    const generation = log.hub === taken.hub ? taken.generation + 1 : 1;
    for (const record of readLog(folder, log, generation)) readChanges(record, changes);
  }
  changes.seal();
  changes.write(databases);
  changes.removeSome(databases, 0, changes.removals);
  void meta.put('log', packLogMark({ hub: version, generation: 0 }), 0);
}

/** Of this hub and all before it. */
export function removeLogs(folder: string, { version }: Instance): void {
  for (const { file, hub } of findLogs(folder))
    if (hub <= version) rmSync(join(folder, file), { force: true });
}
