import type { KnownQueue } from './control.js';

/**
 * The durable queues that this process has to do with or has heard of, over all its sessions: how each is owned, and what its
 * owner had it bound to.
 */
export class KnownQueues {
  hasHadSession = false;
  readonly #ownerships = new Map<string, KnownQueue['ownership']>();
  readonly #bindings = new Map<string, readonly string[]>();

  get names(): string[] {
    return [...this.#ownerships.keys()];
  }

  /** Of a queue that nothing is known of, whether it is of the one kind or the other, undefined. */
  ownership(queue: string): KnownQueue['ownership'] {
    return this.#ownerships.get(queue);
  }

  /** What it must be bound to, as far as anybody has told. */
  bindings(queue: string): readonly string[] {
    return this.#bindings.get(queue) ?? [];
  }

  /** Somebody has told of it, or asks for it. */
  note(queue: string, ownership?: KnownQueue['ownership']): void {
    if (this.#ownerships.get(queue) === undefined) this.#ownerships.set(queue, ownership);
  }

  /** What another master has told. */
  learn(queues: readonly KnownQueue[]): void {
    for (const { name, ownership, role, bindings } of queues) {
      this.note(name, ownership);
      if (role === 'owner' || (bindings.length > 0 && this.bindings(name).length === 0))
        this.noteBindings(name, bindings);
    }
  }

  /** Declared by this master, and so known for sure. */
  declared(queue: string, ownership: KnownQueue['ownership']): void {
    this.#ownerships.set(queue, ownership);
  }

  noteBindings(queue: string, bindings: readonly string[]): void {
    this.#bindings.set(queue, bindings);
  }

  forget(queue: string): void {
    this.#ownerships.delete(queue);
    this.#bindings.delete(queue);
  }
}
