/**
 * The ids of inputs that are applied and may come again: their ack is not known to be processed. It is known of all that are
 * more than a prefetch of deliveries back, since acks are in order and a broker holds at most so many unsettled.
 */
export class AppliedInputs {
  readonly #ids = new Map<string, number>();
  #window: number;

  constructor(prefetch: number) {
    this.#window = prefetch;
  }

  get window(): number {
    return this.#window;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Applied, or found to be applied, as that delivery of the present consumer. */
  note(id: string, delivery: number): void {
    this.#ids.delete(id);
    this.#ids.set(id, delivery);
  }

  /** So many deliveries have come to the present consumer. */
  received(deliveries: number): void {
    for (const [id, delivery] of this.#ids) {
      // What a former owner has applied counts as 0, and comes again among the first `window`.
      if (delivery >= deliveries - this.#window) return;
      this.#ids.delete(id);
    }
  }

  ids(): string[] {
    return [...this.#ids.keys()];
  }

  /** As the former owner left it, who had a prefetch of `window`. */
  restore(ids: readonly string[], window: number): void {
    this.#window = Math.max(this.#window, window);
    for (const id of ids) this.#ids.set(id, 0);
  }
}
