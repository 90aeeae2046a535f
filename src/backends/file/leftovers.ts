import type { Databases, PlaceKey } from './databases.js';
import { keysFrom } from './stored-queue.js';
import type { TableChanges } from './table-changes.js';

/** So many records are removed at once. */
const REMOVED_AT_ONCE = 2_000;
const END = { queue: 2 ** 32 - 1, place: Number.MAX_SAFE_INTEGER };
const KINDS = ['entries', 'marks', 'letters'] as const;

/** What deleted queues have left behind: removed bit by bit, so that nothing else waits for it. */
export class Leftovers {
  /** Their numbers. */
  readonly #queues: number[] = [];

  constructor(
    readonly databases: Databases,
    known: ReadonlySet<number>,
  ) {
    for (const kind of KINDS)
      for (let queue: number | undefined = 0; queue !== undefined;) {
        const [next]: PlaceKey[] = [
          ...databases[kind].getKeys({ start: { queue, place: 0 }, end: END, limit: 1 }),
        ];
        if (next && !known.has(next.queue)) this.add(next.queue);
        queue = next && next.queue + 1;
      }
  }

  get isEmpty(): boolean {
    return this.#queues.length === 0;
  }

  add(queue: number): void {
    if (!this.#queues.includes(queue)) this.#queues.push(queue);
  }

  /** Adds some removals. What was taken before is in the table by then. */
  fill(changes: TableChanges): void {
    const [queue] = this.#queues;
    if (queue === undefined) return;
    let left = REMOVED_AT_ONCE;
    for (const kind of KINDS) {
      if (left === 0) return;
      const keys = keysFrom(this.databases[kind], { queue, place: 0 }, left);
      for (const key of keys) changes.sweep(kind, key);
      left -= keys.length;
    }
    if (left === REMOVED_AT_ONCE) this.#queues.shift();
  }
}
