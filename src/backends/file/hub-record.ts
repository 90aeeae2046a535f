import { readFile, readlink, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment, Timer } from '../../model/clock.js';
import { FolderError } from '../../model/errors.js';
import { identityOf, isAlive, type ProcessIdentity } from '../../folder/process-identity.js';

const BEAT_MS = 1_000;
/** A record that was not touched for so long is of a hub that has died. */
const FRESH_MS = 5_000;

/** What a running hub says of itself in its folder. */
export interface HubRecord extends ProcessIdentity {
  readonly socket: string;
  /** Processes of another namespace, those of another container, cannot be asked whether they live. */
  readonly pidNamespace: string;
}

const fileOf = (folder: string) => join(folder, 'hub.json');

export async function readHubRecord(folder: string): Promise<HubRecord | undefined> {
  try {
    const { pid, startedAt, bootId, socket, pidNamespace } = JSON.parse(
      await readFile(fileOf(folder), 'utf8'),
    ) as Record<string, unknown>;
    if (!Number.isSafeInteger(pid) || typeof socket !== 'string') return undefined;
    return {
      pid: Number(pid),
      startedAt: String(startedAt),
      bootId: String(bootId),
      socket,
      pidNamespace: String(pidNamespace),
    };
  } catch {
    return undefined;
  }
}

/** The record of a hub that lives, as far as this process can tell. */
export async function livingHub(folder: string): Promise<HubRecord | undefined> {
  const record = await readHubRecord(folder);
  return record && record.pidNamespace === (await pidNamespace()) && isAlive(record) ? record : undefined;
}

/** Throws a FolderError if a hub serves the folder from a place where its socket does not reach. */
export async function refuseForeignHub(folder: string, { clock }: Environment): Promise<void> {
  const record = await readHubRecord(folder);
  if (!record) return;
  const isNear = record.pidNamespace === (await pidNamespace()) && record.bootId === identityOf(0).bootId;
  const touchedAt = await stat(fileOf(folder)).then(
    ({ mtimeMs }) => mtimeMs,
    () => -Infinity,
  );
  if (isNear || clock.wall() - touchedAt > FRESH_MS) return;
  throw new FolderError(
    `"${folder}" is served by a hub in another container or on another machine (process ${record.pid} there). ` +
      'Masters that share a folder must share their processes and their temporary folder as well.',
  );
}

/** A hub's word in its folder. */
export interface KeptRecord {
  /** Resolves when another hub has taken the folder: masters go there from now on. */
  readonly superseded: Promise<void>;
  forget(): Promise<void>;
}

/** Says in the folder that this process is its hub, again and again, as long as `isOurs`: of two, the store knows which. */
export async function keepHubRecord(
  folder: string,
  socket: string,
  { clock }: Environment,
  isOurs: () => boolean,
): Promise<KeptRecord> {
  const file = fileOf(folder);
  const record: HubRecord = { ...identityOf(process.pid), socket, pidNamespace: await pidNamespace() };
  const write = async (): Promise<void> => {
    await writeFile(`${file}.${process.pid}`, JSON.stringify(record));
    await rename(`${file}.${process.pid}`, file);
  };
  await write();
  let timer: Timer | undefined;
  let isKept = true;
  let supersede!: () => void;
  const superseded = new Promise<void>((resolve) => (supersede = resolve));
  const look = async (): Promise<void> => {
    if (!isOurs()) return supersede();
    const now = clock.wall() / 1_000;
    const isNamed = (await readHubRecord(folder))?.pid === process.pid;
    await (isNamed ? utimes(file, now, now) : write());
  };
  const beat = (): void => {
    timer = clock.setTimeout(() => {
      // A folder that cannot be looked at for the moment says nothing.
      void look()
        .catch(() => {})
        .then(() => isKept && beat());
    }, BEAT_MS);
  };
  beat();
  return {
    superseded,
    forget: async () => {
      isKept = false;
      clock.clearTimeout(timer);
      if ((await readHubRecord(folder))?.pid === process.pid) await unlink(file).catch(() => {});
    },
  };
}

async function pidNamespace(): Promise<string> {
  return readlink('/proc/self/ns/pid').catch(() => '');
}
