import { pack, unpack } from 'msgpackr';
import { committed } from '../folder/commits.js';
import { Damage, folderError } from '../folder/folder-errors.js';
import { identityOf, isAlive, type ProcessIdentity } from '../folder/process-identity.js';
import type { Databases } from './databases.js';

const FORMAT = 1;
const TENANT = 'tenant';

export interface Totals {
  readonly messages: number;
  readonly bytes: number;
}

/** One process's life with the folder. */
export interface Tenancy {
  /** Also the version of its record: as long as it stands, no other process has taken the folder. */
  readonly generation: number;
  /** What it has found. */
  readonly totals: Totals;
}

/**
 * Takes the folder for this process, unless one that lives has it. Who was killed has not given it back, and is
 * recognised as dead: its id, the time of its start and the boot tell it from any other process.
 */
export function takeSpool(folder: string, { root, meta }: Databases): Tenancy {
  return root.transactionSync(() => {
    const format = meta.getBinary('format');
    if (format && (unpack(format) as number) > FORMAT)
      throw new Damage('it was written by a newer signalbox: upgrade this one');
    if (!format) void meta.put('format', pack(FORMAT), 0);
    const before = meta.getEntry(TENANT);
    const tenant = before && (unpack(before.value) as ProcessIdentity | null);
    if (tenant && isAlive(tenant))
      throw folderError(
        folder,
        tenant.pid === process.pid
          ? 'another master of this process has it'
          : `process ${tenant.pid} has it, which is alive`,
        'Give each master a spool of its own.',
      );
    const generation = (before?.version ?? 0) + 1;
    void meta.put(TENANT, pack(identityOf(process.pid)), generation);
    const totals = meta.getBinary('totals');
    return { generation, totals: totals ? readTotals(totals) : { messages: 0, bytes: 0 } };
  });
}

/** Writes in one transaction, unless another process has taken the folder. Says whether it did, when it is flushed. */
export async function writeAs(
  { generation }: Tenancy,
  { meta }: Databases,
  write: () => void,
): Promise<boolean> {
  return committed(meta.ifVersion(TENANT, generation, write));
}

export function writeTotals({ meta }: Databases, { messages, bytes }: Totals): void {
  void meta.put('totals', pack([messages, bytes]), 0);
}

/** The next process may have it. The record stays, for the count of generations. */
export function leaveSpool(tenancy: Tenancy, databases: Databases): Promise<boolean> {
  return writeAs(tenancy, databases, () => {
    void databases.meta.put(TENANT, pack(null), tenancy.generation);
  });
}

function readTotals(bytes: Uint8Array): Totals {
  const [messages, size] = unpack(bytes) as [number, number];
  return { messages, bytes: size };
}
