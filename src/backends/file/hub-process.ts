import { rename, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Environment, Timer } from '../../model/clock.js';
import { ConnectError, FolderError, SessionLostError } from '../../model/errors.js';
import { keepHubRecord, livingHub, readHubRecord, refuseForeignHub, type HubRecord } from './hub-record.js';
import { HubServer } from './hub-server.js';
import { placesOf } from './runtime-folder.js';
import { openStore } from './store.js';

const LOOK_MS = 200;
/** Masters that come one after the other are not kept waiting in between. */
const IDLE_MS = 2_000;

export interface HubOptions {
  readonly environment: Environment;
  /** Ends by itself so long after its last master; Infinity: never. */
  readonly leaveAfterMs: number;
  /** Aborted to end it. */
  readonly signal: AbortSignal;
  /** Masters can connect. */
  readonly started: (folder: string) => void;
}

/**
 * Serves the masters of one folder until nobody needs it, it is told to end, or its store fails. Rejects with what kept
 * it from starting, or with why its store failed. What is confirmed is in the folder by then, and unless it failed nothing
 * of it is outside.
 */
export async function runHub(folder: string, options: HubOptions): Promise<void> {
  const { environment } = options;
  const places = await placesOf(folder);
  // One that was started with another temporary folder listens elsewhere.
  const other = await livingHub(places.folder);
  for (const socket of new Set([places.socket, ...(other ? [other.socket] : [])]))
    if (await answers(socket)) throw servedByAnother(places.folder);
  await refuseForeignHub(places.folder, environment);
  const former = await readHubRecord(places.folder);
  const store = await openStore(places.folder, { environment });
  try {
    // One that was frozen until now, or was the slower of two, leaves the place to its successor.
    if (!store.isOurs) throw servedByAnother(places.folder);
    const server = new HubServer(store, environment);
    // Renamed into its place, so that there is no moment without a socket, and none with two.
    const fresh = `${places.socket}.${process.pid}`;
    await unlink(fresh).catch(() => {});
    await server.listen(fresh);
    const { ino } = await stat(fresh);
    await rename(fresh, places.socket);
    await removeSocketOf(former, places.socket);
    const record = await keepHubRecord(places.folder, places.socket, environment, () => store.isOurs);
    options.started(places.folder);
    // Two may have started at once, or the socket of one was taken away: masters shall not part.
    const superseded = record.superseded.then(
      () => new FolderError(`Another hub has taken "${places.folder}": this one ends.`),
    );
    const leaving = whenToLeave(server, options, () => void store.compact());
    const failure = await Promise.race([store.failed, superseded, leaving.resolved]);
    leaving.forget();
    // Nobody shall find the socket any more, but another hub may have put its own there.
    if ((await inodeOf(places.socket)) === ino) {
      // Before the socket, since the next hub begins to write it when it finds none.
      if (!failure) await unlink(places.log).catch(() => {});
      await unlink(places.socket).catch(() => {});
    }
    await server.close(new SessionLostError('The hub is ending.'));
    await record.forget();
    if (failure) throw failure;
  } finally {
    await store.close();
  }
}

/** One that was killed leaves its socket behind: where the next one listens elsewhere, nobody else would remove it. */
async function removeSocketOf(former: HubRecord | undefined, ours: string): Promise<void> {
  if (!former || former.socket === ours || (await answers(former.socket))) return;
  await unlink(former.socket).catch(() => {});
}

/** `forget` ends the wait: a timer would keep the process. `idle` is told once of each time that nobody is there. */
function whenToLeave(
  server: HubServer,
  { environment, leaveAfterMs, signal }: HubOptions,
  idle: () => void,
): { readonly resolved: Promise<undefined>; forget(): void } {
  const { clock } = environment;
  let timer: Timer | undefined;
  let toldOf: number | undefined;
  const resolved = new Promise<undefined>((resolve) => {
    const look = (): void => {
      const idleMs = server.idleSince === undefined ? 0 : clock.now() - server.idleSince;
      if (idleMs > IDLE_MS && toldOf !== server.idleSince) {
        toldOf = server.idleSince;
        idle();
      }
      if (signal.aborted || idleMs > leaveAfterMs) resolve(undefined);
      else timer = clock.setTimeout(look, LOOK_MS);
    };
    look();
  });
  return { resolved, forget: () => clock.clearTimeout(timer) };
}

async function inodeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );
}

function servedByAnother(folder: string): ConnectError {
  return new ConnectError(`Another hub serves "${folder}" already. Masters use that one.`);
}

/** Whether anybody listens at that socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
