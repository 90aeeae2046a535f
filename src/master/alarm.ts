import type { SessionEvent } from '../../actors/session.js';

/** Whether the broker of one session takes publishes. What is said before anybody listens is kept. */
export class Alarm {
  #reason: string | undefined;
  #tell: ((event: SessionEvent) => void) | undefined;

  blocked(reason: string): void {
    this.#reason = reason;
    this.#tell?.({ type: 'session.blocked', reason });
  }

  unblocked(): void {
    this.#reason = undefined;
    this.#tell?.({ type: 'session.unblocked' });
  }

  /** Returns what ends it. */
  listen(tell: (event: SessionEvent) => void): () => void {
    this.#tell = tell;
    if (this.#reason !== undefined) tell({ type: 'session.blocked', reason: this.#reason });
    return () => (this.#tell = undefined);
  }
}
