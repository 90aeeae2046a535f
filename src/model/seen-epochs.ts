/** So many queues are remembered; then the one not heard of for the longest time is forgotten. */
const QUEUES_MAX = 10_000;

/**
 * The highest epoch of each queue's owner that somebody has heard. What was published under a lower one comes from a former
 * owner: where the broker does not refuse it, its receivers do.
 */
export class SeenEpochs {
  readonly #highest = new Map<string, number>();

  /** Whether a higher epoch of that queue was heard before. */
  isFormer({ queue, epoch }: { readonly queue: string; readonly epoch: number }): boolean {
    const highest = this.#highest.get(queue) ?? -Infinity;
    if (epoch < highest) return true;
    // Kept in the order of hearing.
    this.#highest.delete(queue);
    this.#highest.set(queue, epoch);
    if (this.#highest.size > QUEUES_MAX) this.#highest.delete(this.#highest.keys().next().value!);
    return false;
  }
}
