/**
 * Notices when something that fills and empties has become full: once, and again only after it was at most half full. At the
 * brim it comes and goes with every message.
 */
export class Brim {
  readonly #limit: number;
  #isFull = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether it has become full. */
  note(size: number): boolean {
    if (size * 2 <= this.#limit) this.#isFull = false;
    if (this.#isFull || size < this.#limit) return false;
    return (this.#isFull = true);
  }

  /** Whoever looks from now on has not been told. */
  forget(): void {
    this.#isFull = false;
  }
}
