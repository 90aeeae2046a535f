/** A timer of a virtual clock. */
export interface VirtualTimer {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Timers that wait, by due time, those of one time as they came. A binary heap; what was cleared stays until it is on top. */
export class Timers {
  readonly #heap: VirtualTimer[] = [];
  readonly #waiting = new Set<VirtualTimer>();

  get size(): number {
    return this.#waiting.size;
  }

  add(timer: VirtualTimer): void {
    this.#waiting.add(timer);
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, timer)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  clear(timer: VirtualTimer): void {
    this.#waiting.delete(timer);
  }

  /** Takes out the first one, if it is due by then. */
  take(by: number): VirtualTimer | undefined {
    let first = this.#heap[0];
    while (first && !this.#waiting.has(first)) {
      this.#pop();
      first = this.#heap[0];
    }
    if (!first || first.due > by) return undefined;
    this.#pop();
    this.#waiting.delete(first);
    return first;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const child = right < heap.length && isBefore(heap[right]!, heap[left]!) ? right : left;
      if (child >= heap.length || isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: VirtualTimer, other: VirtualTimer): boolean {
  return one.due < other.due || (one.due === other.due && one.order < other.order);
}
