import { createServer, type Server, type Socket } from 'node:net';
import type { Environment } from '../../model/clock.js';
import { ProtocolError, SessionLostError, toError } from '../../model/errors.js';
import { checkName } from '../../model/names.js';
import { Hub } from '../hub/hub.js';
import { HubSession } from '../hub/hub-session.js';
import { errorWord } from './error-words.js';
import { FrameReader, FrameWriter, type Word } from './frames.js';
import { HubPeer } from './hub-peer.js';
import { readNumber, readRecord, readText } from './read-word.js';
import type { Store } from './store.js';
import { FRAME_MAX_BYTES, HELLO_MAX_BYTES, MAGIC, PROTOCOL, Said, Told, type Hello } from './words.js';

/** How often the hub looks who is silent. */
const LOOK_MS = 50;
/** Who stood still for longer has not heard anybody meanwhile: its own absence is nobody's silence. */
const ABSENCE_MS = 200;
const HELLO_WITHIN_MS = 10_000;
/** For the last word to be read. */
const FAREWELL_MS = 500;
/** Whoever has left so much unread, more than deliveries alone can be, is heard again when it has read. */
const UNREAD_MAX_BYTES = 33_554_432;

/** A connected socket, and the session behind it once it has said who it is. */
interface Connection {
  readonly socket: Socket;
  heardAt: number;
  silenceMaxMs: number;
  end(reason: Error): void;
}

/** The hub's end of all sockets: who connects, who is silent, and one hub for each namespace. */
export class HubServer {
  /** Monotonic time at which the last session ended, or the server began; undefined while there is one. */
  idleSince: number | undefined;
  readonly #hubs = new Map<string, Hub>();
  readonly #connections = new Set<Connection>();
  readonly #server: Server;
  readonly #store: Store;
  readonly #environment: Environment;
  #sessions = 0;
  #lookedAt: number;
  #look;

  constructor(store: Store, environment: Environment) {
    this.#store = store;
    this.#environment = environment;
    for (const namespace of store.namespaces) this.#hubOf(namespace);
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.idleSince = this.#lookedAt = environment.clock.now();
    this.#look = environment.clock.setTimeout(this.#lookAround, LOOK_MS);
  }

  async listen(path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => resolve());
    });
  }

  /** Ends every session as if the connection had broken: masters come back to the next hub. */
  async close(reason: Error): Promise<void> {
    this.#environment.clock.clearTimeout(this.#look);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.end(reason);
    await closed;
  }

  #hubOf(namespace: string): Hub {
    let hub = this.#hubs.get(namespace);
    if (!hub) {
      hub = new Hub(this.#environment, this.#store.journal(namespace));
      this.#store.restore(namespace, hub);
      this.#hubs.set(namespace, hub);
    }
    return hub;
  }

  #accept(socket: Socket): void {
    const { clock } = this.#environment;
    const reader = new FrameReader(HELLO_MAX_BYTES);
    const writer = new FrameWriter(socket);
    let session: HubSession | undefined;
    let peer: HubPeer | undefined;
    const end = (reason: Error): void => {
      if (!this.#connections.delete(connection)) return;
      session?.drop(reason);
      writer.say([Told.refused, errorWord(reason)]);
      writer.flush();
      socket.destroySoon();
      // One that is frozen reads nothing any more.
      clock.setTimeout(() => socket.destroy(), FAREWELL_MS);
    };
    const connection: Connection = { socket, heardAt: clock.now(), silenceMaxMs: HELLO_WITHIN_MS, end };
    this.#connections.add(connection);
    socket.on('data', (chunk) => {
      // What follows the end means nothing.
      if (!this.#connections.has(connection)) return;
      connection.heardAt = clock.now();
      try {
        reader.read(chunk, (words) => {
          if (peer) return peer.hear(words);
          const hello = readHello(words);
          session = this.#begin(hello);
          peer = new HubPeer(session, writer);
          connection.silenceMaxMs = hello.ownerTimeoutMs;
          reader.maxBytes = FRAME_MAX_BYTES;
          writer.say([Told.welcome, { protocol: PROTOCOL, pid: process.pid }]);
          // Replaced by the same master's next session, or closed by its own wish.
          void session.closed.then((reason) => reason && end(reason));
          peer.hear(words.slice(1));
        });
        if (writer.bytesWaiting > UNREAD_MAX_BYTES) socket.pause();
      } catch (thrown) {
        end(toError(thrown));
      }
    });
    socket.on('drain', () => {
      socket.resume();
      peer?.caughtUp();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#connections.delete(connection);
      session?.drop(new SessionLostError('The connection has ended.'));
      if (session && --this.#sessions === 0) this.idleSince = clock.now();
    });
  }

  #begin(hello: Hello): HubSession {
    const hub = this.#hubOf(hello.namespace);
    hub.admit(hello.master, hello.incarnation);
    const flushed = () => new Promise<void>((resolve) => hub.journal.afterFlush(resolve));
    this.#sessions++;
    this.idleSince = undefined;
    return new HubSession(hub, hello.master, hello.incarnation, flushed);
  }

  readonly #lookAround = (): void => {
    const { clock } = this.#environment;
    const now = clock.now();
    const absentMs = now - this.#lookedAt - LOOK_MS;
    this.#lookedAt = now;
    for (const connection of [...this.#connections]) {
      if (absentMs > ABSENCE_MS) connection.heardAt += absentMs;
      const silentMs = now - connection.heardAt;
      if (silentMs > connection.silenceMaxMs)
        connection.end(new SessionLostError(`The master was silent for ${Math.round(silentMs)} ms.`));
    }
    this.#look = clock.setTimeout(this.#lookAround, LOOK_MS);
  };
}

function readHello([word]: readonly Word[]): Hello {
  if (!word || word[0] !== Said.hello) throw new ProtocolError('Whoever connects to a hub says hello first.');
  const { magic, protocol, namespace, master, incarnation, ownerTimeoutMs } = readRecord(word[1]);
  if (magic !== MAGIC) throw new ProtocolError('Whoever connected is no signalbox master.');
  if (protocol !== PROTOCOL)
    throw new ProtocolError(
      `This hub speaks protocol ${PROTOCOL}, the master ${String(protocol)}. ` +
        'Stop all masters of the folder, so that its hub ends, and start those of one version first.',
    );
  return {
    magic,
    protocol,
    namespace: checkName('namespace', readText(namespace)),
    master: checkName('master', readText(master)),
    incarnation: readText(incarnation),
    ownerTimeoutMs: Math.max(100, readNumber(ownerTimeoutMs)),
  };
}
