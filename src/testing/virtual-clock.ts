import type { Clock, Environment } from '../model/clock.js';

/** 2026-01-01: a wall clock that starts at 0 would look like one that was never set. */
const WALL_AT_START = 1_767_225_600_000;
const ID_LENGTH = 16;
const LETTERS = '0123456789abcdefghijklmnopqrstuv';
/** Taken here, so that a test runner's fake timers do not stop it. */
const nextTurn = globalThis.setImmediate;

interface VirtualTimer {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * Time that moves only when `advance` is called. Timers run one by one in the order of their due times, those of one time
 * in the order in which they were set, and each sees the time at which it is due. Between two of them promises settle and
 * the event loop turns.
 */
export class VirtualClock implements Clock {
  #now = 0;
  #wallAtStart = WALL_AT_START;
  #order = 0;
  #advancing: Promise<void> = Promise.resolve();
  /** A binary heap; a timer that was cleared stays until it comes to the top. */
  readonly #heap: VirtualTimer[] = [];
  readonly #pending = new Set<VirtualTimer>();

  readonly now = (): number => this.#now;
  readonly wall = (): number => this.#wallAtStart + this.#now;

  /** Timers that are neither due nor cleared. */
  get pending(): number {
    return this.#pending.size;
  }

  readonly setTimeout = (callback: () => void, delayMs: number): VirtualTimer => {
    // As Node does with what is no delay.
    const timer = { due: this.#now + (delayMs >= 1 ? delayMs : 1), order: this.#order++, callback };
    this.#pending.add(timer);
    this.#push(timer);
    return timer;
  };

  readonly clearTimeout = (timer: unknown): void => {
    this.#pending.delete(timer as VirtualTimer);
  };

  /**
   * Moves the time, and runs what falls due on the way, timers set on the way too. Resolves when what they set off has
   * settled, as far as it needs no more time. Rejects, and stops there, when a timer throws. Calls follow each other.
   */
  advance(ms: number): Promise<void> {
    const advanced = this.#advancing.then(() => this.#advanceTo(this.#now + ms));
    this.#advancing = advanced.catch(() => {});
    return advanced;
  }

  /** Sets the wall clock forward, or back, while no time passes. */
  shiftWall(ms: number): void {
    this.#wallAtStart += ms;
  }

  async #advanceTo(end: number): Promise<void> {
    await settle();
    for (let next = this.#next(); next && next.due <= end; next = this.#next()) {
      this.#pop();
      this.#pending.delete(next);
      this.#now = next.due;
      next.callback();
      await settle();
    }
    this.#now = end;
    await settle();
  }

  /** The first timer that was not cleared. */
  #next(): VirtualTimer | undefined {
    let first = this.#heap[0];
    while (first && !this.#pending.has(first)) {
      this.#pop();
      first = this.#heap[0];
    }
    return first;
  }

  #push(timer: VirtualTimer): void {
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

/** Promises settle; so does what waits for a turn of the event loop, and what that sets off. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => nextTurn(resolve));
}

/** Virtual time, and chance and names that are the same for each run with this seed. */
export function virtualEnvironment(seed = 1): Environment & { readonly clock: VirtualClock } {
  const random = seededRandom(seed);
  const letter = () => LETTERS[Math.floor(random() * LETTERS.length)]!;
  return {
    clock: new VirtualClock(),
    random,
    randomId: () => Array.from({ length: ID_LENGTH }, letter).join(''),
  };
}

/** mulberry32: small, and even enough for tests. */
function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
