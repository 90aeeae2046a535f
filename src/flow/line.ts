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

  get first(): Outgoing | undefined {
    this.#putInOrder();
    return this.#again.at(-1) ?? this.#fresh.values().next().value;
  }

  take(): Outgoing | undefined {
    this.#putInOrder();
    const message = this.#again.pop() ?? this.#fresh.values().next().value;
    if (message) this.#fresh.delete(message);
    return message;
  }

  /** The first ones that no fence holds here. */
  unfenced(count: number): Outgoing[] {
    this.#putInOrder();
    const found: Outgoing[] = [];
    const look = (message: Outgoing): boolean => {
      if (!message.terms.fence) found.push(message);
      return found.length === count;
    };
    for (let at = this.#again.length - 1; at >= 0; at--) if (look(this.#again[at]!)) return found;
    for (const message of this.#fresh) if (look(message)) return found;
    return found;
  }

  delete(message: Outgoing): void {
    if (this.#fresh.delete(message)) return;
    // The next ones stand last.
    const at = this.#again.lastIndexOf(message);
    if (at >= 0) this.#again.splice(at, 1);
  }

  #putInOrder(): void {
    if (!this.#inOrder) this.#again.sort((one, other) => other.sequence - one.sequence);
    this.#inOrder = true;
  }
}
