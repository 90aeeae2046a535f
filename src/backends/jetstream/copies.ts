/** So many messages are remembered at least, and twice as many at most. */
const REMEMBERED = 4_096;

/**
 * Which messages have come already. Each subscription that matches brings a copy of its own, and the copies follow each other
 * closely; a message that was sent twice under one name comes twice as well.
 */
export class Copies {
  #recent = new Map<string, Map<number, number>>();
  #older = new Map<string, Map<number, number>>();

  /**
   * Whether it is the first copy. `subscription` brought it; of messages that have no name of their own (`isNamed` is false)
   * the second that looks the same over one subscription is another one.
   */
  isFirst(name: string, subscription: number, isNamed: boolean): boolean {
    const known = this.#recent.get(name) ?? this.#older.get(name);
    if (known && isNamed) return false;
    const counts = known ?? new Map<number, number>();
    const most = Math.max(0, ...counts.values());
    const count = (counts.get(subscription) ?? 0) + 1;
    counts.set(subscription, count);
    this.#recent.set(name, counts);
    if (this.#recent.size >= REMEMBERED) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    return count > most;
  }
}
