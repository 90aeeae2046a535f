import type { Outgoing } from './outgoing.js';

/** What waits to be sent: first what was sent before, in the order of its numbers, then what was not, as it came. */
export class Line {
  readonly #fresh = new Set<Outgoing>();
  /** The next one last, once it is in order. */
  readonly #again: Outgoing[] = [];
  #inOrder = true;

  get size(): number {
    return this.#again.length + this.#fresh.size;
  }

  add(message: Outgoing): void {
    this.#fresh.add(message);
  }

  /** It was sent over a session that is lost. */
  putBack(message: Outgoing): void {
    this.#again.push(message);
    this.#inOrder = false;
  }

  take(): Outgoing | undefined {
    if (!this.#inOrder) this.#again.sort((one, other) => other.sequence - one.sequence);
    this.#inOrder = true;
    const message = this.#again.pop() ?? this.#fresh.values().next().value;
    if (message) this.#fresh.delete(message);
    return message;
  }

  delete(message: Outgoing): void {
    if (this.#fresh.delete(message)) return;
    const at = this.#again.indexOf(message);
    if (at >= 0) this.#again.splice(at, 1);
  }
}
