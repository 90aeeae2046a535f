import type { Session } from '../backend.js';

const nothing = () => {};

/**
 * Where the session of the moment is found. The session actor alone puts one in and takes it out; everybody else asks
 * here, waits here, and is told here when it ends.
 */
export class Link {
  #session: Session | undefined;
  readonly #waiters = new Set<(session: Session) => void>();
  readonly #losers = new Set<(reason: Error) => void>();

  get session(): Session | undefined {
    return this.#session;
  }

  up(session: Session): void {
    this.#session = session;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter(session);
  }

  down(reason: Error): void {
    if (!this.#session) return;
    this.#session = undefined;
    const losers = [...this.#losers];
    this.#losers.clear();
    for (const loser of losers) loser(reason);
  }

  /** Resolves with the session once there is one; rejects only when aborted. */
  whenUp(signal: AbortSignal): Promise<Session> {
    if (this.#session) return Promise.resolve(this.#session);
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiters.delete(waiter);
        reject(signal.reason as Error);
      };
      const waiter = (session: Session) => {
        signal.removeEventListener('abort', abort);
        resolve(session);
      };
      this.#waiters.add(waiter);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** Calls back once there is a session; at once if there is one. Returns a function that ends the wait. */
  onceUp(callback: () => void): () => void {
    if (this.#session) {
      callback();
      return nothing;
    }
    this.#waiters.add(callback);
    return () => void this.#waiters.delete(callback);
  }

  /** Calls back once when the present session ends; at once if there is none. Returns a function that ends the wait. */
  onceDown(callback: (reason: Error) => void): () => void {
    if (!this.#session) {
      callback(new Error('There is no session.'));
      return nothing;
    }
    this.#losers.add(callback);
    return () => void this.#losers.delete(callback);
  }
}
