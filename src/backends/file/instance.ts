import { pack, unpack } from 'msgpackr';
import { committed } from '../../folder/commits.js';
import { Damage } from '../../folder/folder-errors.js';
import type { Databases } from './databases.js';
import { forgetLog } from './recovery.js';
import { packQueue, unpackQueue } from './records.js';
import { lastPlace } from './stored-queue.js';

const FORMAT = 1;
const HUB = 'hub';

/** One hub process's life with the folder. */
export interface Instance {
  /** Of the record that it wrote at its opening: as long as it stands, no other hub has opened the folder. */
  readonly version: number;
  /** The hub before it has settled everything that it had handed over. */
  readonly foundClosed: boolean;
}

/** Writes down that this hub has the folder now: whoever had it before can make nothing safe any more. */
export function takeFolder({ root, meta }: Databases, name: string): Instance {
  return root.transactionSync(() => {
    const format = meta.getBinary('format');
    if (format && (unpack(format) as number) > FORMAT)
      throw new Damage('it was written by a newer signalbox: upgrade this one');
    if (!format) void meta.put('format', pack(FORMAT), 0);
    const before = meta.getEntry(HUB);
    const [, foundClosed] = before ? (unpack(before.value) as [string, boolean]) : ['', true];
    const version = (before?.version ?? 0) + 1;
    void meta.put(HUB, pack([name, false]), version);
    return { version, foundClosed };
  });
}

/**
 * If the hub before did not close the folder, every message in it comes flagged: nobody knows what it had handed over.
 * Positions go on after the newest entry, since what comes fresh must not fall under an old flag.
 */
export function flagMessages(databases: Databases, { foundClosed }: Instance): void {
  const { queues } = databases;
  for (const { key, value } of [...queues.getRange({ start: 0 })]) {
    const record = unpackQueue(value);
    const next = lastPlace(databases, key) + 1;
    const flaggedBefore = foundClosed ? Math.min(record.flaggedBefore, next) : next;
    if (flaggedBefore !== record.flaggedBefore) void queues.put(key, packQueue({ ...record, flaggedBefore }));
  }
}

/** Whether no other hub has taken the folder by now. */
export function hasFolder({ version }: Instance, { root, meta }: Databases): boolean {
  // What others have written since the last read is seen by a new one only.
  root.resetReadTxn();
  return meta.getEntry(HUB)?.version === version;
}

/** Writes in one transaction, unless another hub has taken the folder. Says whether it did. Resolves when it is safe. */
export async function writeAs(
  { version }: Instance,
  { meta }: Databases,
  write: () => void,
): Promise<boolean> {
  return committed(meta.ifVersion(HUB, version, write));
}

/** Writes down that everything that was handed over is settled. */
export function leaveFolder(instance: Instance, databases: Databases, name: string): Promise<boolean> {
  return writeAs(instance, databases, () => {
    void databases.meta.put(HUB, pack([name, true]), instance.version + 1);
    forgetLog(databases);
  });
}

/**
 * Does something to the folder that no other hub may do at the same time, and only if none has taken it. What it writes
 * is one transaction. Says whether it did.
 */
export function actAs({ version }: Instance, { root, meta }: Databases, act: () => void): boolean {
  return root.transactionSync(() => {
    if (meta.getEntry(HUB)?.version !== version) return false;
    act();
    return true;
  });
}

/**
 * Lets the folder go on in another data file: within the call nobody can write, and afterwards nobody in this one. Says
 * whether this hub still had the folder.
 */
export function handOver(instance: Instance, databases: Databases, exchange: () => void): boolean {
  return actAs(instance, databases, () => {
    exchange();
    void databases.meta.put(HUB, pack(['compacted', false]), instance.version + 1);
  });
}
