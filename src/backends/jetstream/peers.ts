import type { Clock, Timer } from '../../model/clock.js';
import type { Control } from './control.js';
import { readMaster } from './master-name.js';
import type { Names } from './names.js';
import type { Records } from './records.js';

/** How often a session that owns something is asked by those who stand by. */
const ASK_MS = 25;
/**
 * It has gone when nobody was there to answer for so long: longer than the owner goes on after its last answered question, with
 * a margin for clocks that do not run alike.
 */
const GONE_MS = 420;

export interface Peer {
  readonly master: string;
  readonly session: string;
  /** Its own bound: a record that does not change for so long is that of a frozen master. */
  readonly ownerTimeoutMs: number;
}

interface Watched {
  readonly peer: Peer;
  readonly told: Set<() => void>;
  nobodySince: number | undefined;
  revision: number;
  changedAt: number;
  lookedAt: number;
  isLooking: boolean;
}

export interface PeersPorts {
  readonly control: Control;
  readonly records: Records;
  readonly names: Names;
  readonly clock: Clock;
}

/** Watches the sessions that own what this one stands by for: one question for each session, whatever it owns. */
export class Peers {
  readonly #ports: PeersPorts;
  readonly #watched = new Map<string, Watched>();
  #timer: Timer | undefined;

  constructor(ports: PeersPorts) {
    this.#ports = ports;
  }

  /** Calls back, again and again, while it is gone or frozen. Returns a function that ends it. */
  watch(peer: Peer, gone: () => void): () => void {
    const now = this.#ports.clock.now();
    const watched: Watched = this.#watched.get(peer.session) ?? {
      peer,
      told: new Set(),
      nobodySince: undefined,
      revision: 0,
      changedAt: now,
      lookedAt: -Infinity,
      isLooking: false,
    };
    this.#watched.set(peer.session, watched);
    watched.told.add(gone);
    if (this.#timer === undefined) this.#round();
    return () => {
      watched.told.delete(gone);
      if (watched.told.size === 0 && this.#watched.get(peer.session) === watched)
        this.#watched.delete(peer.session);
    };
  }

  stop(): void {
    this.#watched.clear();
    this.#ports.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #round(): void {
    const { clock } = this.#ports;
    this.#timer = undefined;
    if (this.#watched.size === 0) return;
    this.#timer = clock.setTimeout(() => this.#round(), ASK_MS);
    for (const watched of [...this.#watched.values()]) this.#ask(watched);
  }

  #ask(watched: Watched): void {
    const { control, clock } = this.#ports;
    const { peer } = watched;
    const now = clock.now();
    // A question is not waited for: one that was under way when its receiver died has no answer.
    try {
      control.ask(peer.session, {
        alive: () => (watched.nobodySince = undefined),
        gone: () => {
          watched.nobodySince ??= clock.now();
          if (clock.now() - watched.nobodySince >= GONE_MS) this.#gone(watched);
        },
      });
    } catch {
      // The connection has ended, and everybody is told by that.
      return this.stop();
    }
    if (now - watched.lookedAt >= peer.ownerTimeoutMs / 6) void this.#look(watched);
    if (now - watched.changedAt > peer.ownerTimeoutMs) this.#gone(watched);
  }

  async #look(watched: Watched): Promise<void> {
    if (watched.isLooking) return;
    const { records, names, clock } = this.#ports;
    watched.isLooking = true;
    watched.lookedAt = clock.now();
    try {
      const found = await records.get(names.master(watched.peer.master));
      // Of another session of that master it says nothing about this one.
      if (!found || readMaster(found.body)?.session !== watched.peer.session) return;
      if (found.revision === watched.revision) return;
      watched.revision = found.revision;
      watched.changedAt = clock.now();
    } catch {
      // No answer is no news of the peer: without the stream nobody takes over either.
      watched.changedAt = clock.now();
    } finally {
      watched.isLooking = false;
    }
  }

  #gone(watched: Watched): void {
    for (const tell of [...watched.told]) tell();
  }
}
