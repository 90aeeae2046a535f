import { connect as openSocket, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Backend, ConnectOptions, Session } from '../../backend.js';
import { ConnectError, UnsupportedError, toError } from '../../model/errors.js';
import { errorOf } from './error-words.js';
import { FrameReader, FrameWriter, type Word } from './frames.js';
import { livingHub, type HubRecord } from './hub-record.js';
import { RemoteSession } from './remote-session.js';
import { placesOf, type Places } from './runtime-folder.js';
import { startHub } from './start-hub.js';
import { takeStartLock } from './start-lock.js';
import { FRAME_MAX_BYTES, MAGIC, PROTOCOL, Said, Told } from './words.js';

export interface FileBackendOptions {
  /** What to do about a hub that gives no answer: say so and try again, or kill its process so that another starts. */
  readonly ifHubFrozen?: 'report' | 'restart';
  /** The program that is started as a hub. */
  readonly hubProgram?: string;
}

/** Until a master that waits for another to start the hub looks again. */
const LOOK_MS = 20;

/**
 * A broker in a folder: a hub process, started by the first master, keeps what is durable by LMDB and serves all masters
 * of this machine over a Unix socket. What it has confirmed is flushed to disk.
 */
export function fileBackend(folder: string, options: FileBackendOptions = {}): Backend {
  const { ifHubFrozen = 'report' } = options;
  const hubProgram = options.hubProgram ?? fileURLToPath(new URL('./hub-program.js', import.meta.url));
  return {
    name: `file:${folder}`,
    async connect(wanted: ConnectOptions): Promise<Session> {
      if (process.platform === 'win32')
        throw new UnsupportedError('file: needs Unix sockets and signals, which Windows does not have.');
      const places = await placesOf(folder);
      const before = await livingHub(places.folder);
      const socket = await reach(places, hubProgram, wanted);
      try {
        return await greet(socket, wanted);
      } catch (error) {
        if (error instanceof FrozenHub) throw await frozen(places, before, ifHubFrozen, error);
        throw error;
      }
    },
  };
}

class FrozenHub extends ConnectError {}

async function reach(places: Places, hubProgram: string, wanted: ConnectOptions): Promise<Socket> {
  const { signal, environment } = wanted;
  for (;;) {
    signal.throwIfAborted();
    const socket = (await dial(places.socket)) ?? (await dialElsewhere(places));
    if (socket) return socket;
    const giveBack = await takeStartLock(places.startLock, environment);
    try {
      if (giveBack && !(await isServed(places.socket))) await startHub(hubProgram, places, signal);
    } finally {
      await giveBack?.();
    }
    if (!giveBack) await new Promise<void>((resolve) => environment.clock.setTimeout(resolve, LOOK_MS));
  }
}

/** Undefined if nobody listens there. */
function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = openSocket({ path, noDelay: true });
    socket.once('connect', () => {
      socket.off('error', failed);
      resolve(socket);
    });
    const failed = (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else reject(new ConnectError(`The hub's socket "${path}" cannot be used: ${error.message}`));
    };
    socket.once('error', failed);
  });
}

/** A hub that was started with another temporary folder says in the data folder where it listens. */
async function dialElsewhere(places: Places): Promise<Socket | undefined> {
  const record = await livingHub(places.folder);
  return record && record.socket !== places.socket ? dial(record.socket) : undefined;
}

async function isServed(path: string): Promise<boolean> {
  const socket = await dial(path);
  socket?.destroy();
  return socket !== undefined;
}

/** Says hello, and resolves with the session when the hub has bidden welcome. */
function greet(socket: Socket, wanted: ConnectOptions): Promise<Session> {
  const { namespace, master, incarnation, ownerTimeoutMs, environment, signal } = wanted;
  const { clock } = environment;
  const reader = new FrameReader(FRAME_MAX_BYTES);
  const writer = new FrameWriter(socket);
  let session: RemoteSession | undefined;
  return new Promise<Session>((resolve, reject) => {
    const sentAt = clock.now();
    const fail = (error: Error): void => {
      done();
      reject(error);
      socket.destroy();
    };
    const timer = clock.setTimeout(
      () => fail(new FrozenHub(`The hub has given no answer for ${ownerTimeoutMs} ms.`)),
      ownerTimeoutMs,
    );
    const aborted = () => fail(toError(signal.reason));
    const gone = () => fail(new ConnectError('The hub has gone before it answered.'));
    const done = (): void => {
      clock.clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      socket.off('close', gone);
    };
    signal.addEventListener('abort', aborted, { once: true });
    socket.once('close', gone);
    socket.on('error', () => {});
    const welcome = (words: readonly Word[]): void => {
      if (words[0]?.[0] !== Told.welcome) return fail(errorOf(words[0]?.[1]));
      done();
      session = new RemoteSession(socket, writer, wanted, sentAt);
      resolve(session);
      session.hear(words.slice(1));
    };
    socket.on('data', (chunk) => {
      try {
        reader.read(chunk, (words) => (session ? session.hear(words) : welcome(words)));
      } catch (thrown) {
        if (session) session.drop(toError(thrown));
        else fail(toError(thrown));
      }
    });
    const hello = { magic: MAGIC, protocol: PROTOCOL, namespace, master, incarnation, ownerTimeoutMs };
    writer.say([Said.hello, hello]);
  });
}

/** `before` is the hub that was there before it was called: another master may have replaced it meanwhile. */
async function frozen(
  places: Places,
  before: HubRecord | undefined,
  ifHubFrozen: 'report' | 'restart',
  error: Error,
): Promise<Error> {
  const record = await livingHub(places.folder);
  const who = record ? `The hub, process ${record.pid},` : 'The hub';
  if (ifHubFrozen === 'restart' && record && record.pid === before?.pid) {
    process.kill(record.pid, 'SIGKILL');
    return new ConnectError(`${who} gave no answer and was killed; another is started.`, { cause: error });
  }
  return new ConnectError(
    `${who} of "${places.folder}" gives no answer: it is frozen. ` +
      "Thaw it or kill it; with { ifHubFrozen: 'restart' } masters do that themselves.",
    { cause: error },
  );
}
