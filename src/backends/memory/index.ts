import type { Backend, ConnectOptions, Session } from '../../backend.js';
import { Hub } from '../hub/hub.js';
import { HubSession } from '../hub/hub-session.js';
import { noJournal } from '../hub/journal.js';

const CONFIRMED = Promise.resolve();
/** After so many confirms the event loop turns: a chain of publishes would keep timers, sockets and handlers waiting. */
const CONFIRMS_IN_A_TURN = 256;

/**
 * The hub inside this process: the reference of what a backend does, and a test double for users. What is durable lives
 * as long as the backend object.
 */
export function memoryBackend(name = 'memory:'): Backend {
  const hubs = new Map<string, Hub>();
  return {
    name,
    async connect(options: ConnectOptions): Promise<Session> {
      options.signal.throwIfAborted();
      let hub = hubs.get(options.namespace);
      if (!hub) hubs.set(options.namespace, (hub = new Hub(options.environment, noJournal)));
      hub.admit(options.master, options.incarnation);
      return new HubSession(hub, options.master, options.incarnation, confirmations());
    },
  };
}

/** Confirms at once, but now and then only after the event loop has turned. */
function confirmations(): () => Promise<void> {
  let confirms = 0;
  let turn: Promise<void> | undefined;
  return () => {
    if (++confirms < CONFIRMS_IN_A_TURN) return CONFIRMED;
    turn ??= new Promise((resolve) =>
      setImmediate(() => {
        confirms = 0;
        turn = undefined;
        resolve();
      }),
    );
    return turn;
  };
}

const shared = new Map<string, Backend>();

/** The hub of that name, shared by the whole process. */
export function sharedMemoryBackend(name: string): Backend {
  let backend = shared.get(name);
  if (!backend) shared.set(name, (backend = memoryBackend(`memory:${name}`)));
  return backend;
}
