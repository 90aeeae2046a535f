import type { Connection } from './connection.js';

/**
 * Waits until subscriptions are in place: on one server when it has processed them, in a cluster when the servers of all other
 * masters know of them. Whoever comes while one round is under way waits for the next, together.
 */
export class Settling {
  readonly #connection: Connection;
  readonly #echo: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(connection: Connection, echo: () => Promise<void>) {
    this.#connection = connection;
    this.#echo = echo;
  }

  settled(): Promise<void> {
    if (!this.#running) return this.#begin();
    return (this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      }));
  }

  #begin(): Promise<void> {
    // What is subscribed in this turn belongs to this round as well.
    this.#running = Promise.resolve()
      .then(() => this.#connection.flush())
      .then(() => (this.#connection.isClustered ? this.#echo() : undefined))
      .finally(() => (this.#running = undefined));
    return this.#running;
  }
}
