import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readChanges } from './change-list.js';
import { Damage } from '../../folder/folder-errors.js';
import type { Databases } from './databases.js';
import type { Instance } from './instance.js';
import { findLogs, readLog } from './log.js';
import { packLogMark, unpackLogMark } from './records.js';
import { TableChanges } from './table-changes.js';

const NOTED = 'log-file';

/**
 * Puts into the table what earlier hubs have written down and their tables had not taken. Called in a transaction of its
 * own after this hub has taken the folder, as long as no later one has: an earlier one that still runs can write, but looks
 * who has the folder before it says that something is safe. Throws Damage.
 */
export function takeOverLogs(folder: string, databases: Databases, { version }: Instance): void {
  const { meta } = databases;
  const taken = unpackLogMark(meta.getBinary('log'));
  const changes = new TableChanges();
  const logs = findLogs(folder);
  const noted = meta.getBinary(NOTED)?.toString();
  if (noted && !logs.some(({ file }) => file === noted))
    throw new Damage(
      `its file "${noted}" is missing, which may hold what was confirmed last (an empty file of that name goes on without it)`,
    );
  for (const log of logs) {
    if (log.hub < taken.hub || log.hub >= version) continue;
    const generation = log.hub === taken.hub ? taken.generation + 1 : 1;
    for (const record of readLog(folder, log, generation)) readChanges(record, changes);
  }
  changes.seal();
  changes.write(databases);
  changes.removeSome(databases, 0, changes.removals);
  void meta.put('log', packLogMark({ hub: version, generation: 0 }), 0);
  forgetLog(databases);
}

/** Which log the next hub has to find, unless this one ends properly. Within a transaction, as `forgetLog`. */
export function noteLog({ meta }: Databases, file: string): void {
  void meta.put(NOTED, Buffer.from(file), 0);
}

/** The table has everything. */
export function forgetLog({ meta }: Databases): void {
  void meta.remove(NOTED);
}

/** Of this hub and all before it. */
export function removeLogs(folder: string, { version }: Instance): void {
  for (const { file, hub } of findLogs(folder))
    if (hub <= version) rmSync(join(folder, file), { force: true });
}
