import type { Environment } from '../../model/clock.js';
import { Hub } from '../hub/hub.js';
import { noJournal } from '../hub/journal.js';

/** Hubs by name. One that no master is connected to and that holds no durable queue is forgotten. */
export class Hubs {
  readonly #hubs = new Map<string, Hub>();

  get size(): number {
    return this.#hubs.size;
  }

  /** The hub of that name, made if there is none. */
  of(name: string, environment: Environment): Hub {
    let hub = this.#hubs.get(name);
    if (!hub) this.#hubs.set(name, (hub = new Hub(environment, noJournal)));
    return hub;
  }

  /** To be called when a session has ended. Also finds those whose last queue has expired since the last time. */
  sweep(): void {
    for (const [name, hub] of this.#hubs)
      if (hub.members.size === 0 && hub.queues.size === 0) this.#hubs.delete(name);
  }
}

/** Those of this process that have a name. */
export const sharedHubs = new Hubs();
