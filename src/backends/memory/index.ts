import type { Backend, ConnectOptions, Session } from '../../backend.js';
import { HubSession } from '../hub/hub-session.js';
import { Hubs, sharedHubs } from './hubs.js';

const CONFIRMED = Promise.resolve();
/** After so many confirms the event loop turns: a chain of publishes would keep timers, sockets and handlers waiting. */
const CONFIRMS_IN_A_TURN = 256;

/**
 * The hub inside this process: the reference of what a backend does, and a test double for users. What is durable lives
 * as long as the backend object.
 */
export function memoryBackend(name = 'memory:'): Backend {
  return backendOver(name, new Hubs(), '');
}

/** The hub of that name, shared by the whole process. What is durable lives as long as the process. */
export function sharedMemoryBackend(name: string): Backend {
  return backendOver(`memory:${name}`, sharedHubs, `${name}:`);
}

function backendOver(name: string, hubs: Hubs, prefix: string): Backend {
  return {
    name,
    async connect(options: ConnectOptions): Promise<Session> {
      options.signal.throwIfAborted();
      // Looked up for each session: a backend outlives a hub that was forgotten meanwhile.
      const hub = hubs.of(prefix + options.namespace, options.environment);
      hub.admit(options.master, options.incarnation);
      const session = new HubSession(hub, options.master, options.incarnation, confirmations());
      void session.closed.then(() => hubs.sweep());
      return session;
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
