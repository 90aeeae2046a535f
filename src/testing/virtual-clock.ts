import type { Clock, Environment } from '../model/clock.js';
import { Timers, type VirtualTimer } from './timers.js';

/** 2026-01-01: a wall clock that starts at 0 would look like one that was never set. */
const WALL_AT_START = 1_767_225_600_000;
const ID_LENGTH = 16;
const LETTERS = '0123456789abcdefghijklmnopqrstuv';
/** Taken here, so that a test runner's fake timers do not stop it. */
const nextTurn = globalThis.setImmediate;

/**
 * Time that moves only when it is told to. Timers run one by one in the order of their due times, those of one time in the
 * order in which they were set, and each sees the time at which it is due.
 */
export class VirtualClock implements Clock {
  #now = 0;
  #wallAtStart = WALL_AT_START;
  #order = 0;
  #advancing: Promise<unknown> = Promise.resolve();
  readonly #timers = new Timers();

  readonly now = (): number => this.#now;
  readonly wall = (): number => this.#wallAtStart + this.#now;

  /** Timers that are neither due nor cleared. */
  get pending(): number {
    return this.#timers.size;
  }

  readonly setTimeout = (callback: () => void, delayMs: number): VirtualTimer => {
    // As Node does with what is no delay.
    const timer = { due: this.#now + (delayMs >= 1 ? delayMs : 1), order: this.#order++, callback };
    this.#timers.add(timer);
    return timer;
  };

  readonly clearTimeout = (timer: unknown): void => {
    this.#timers.clear(timer as VirtualTimer);
  };

  /**
   * Moves the time by so many milliseconds, and runs what falls due on the way, timers set on the way too. Between two of
   * them promises settle and the event loop turns. Resolves when what they set off has settled, as far as it needs no more
   * time. Rejects, and stops there, when a timer throws. Calls follow each other.
   */
  advance(ms: number): Promise<void> {
    return this.#next(async () => {
      const end = this.#now + ms;
      await settle();
      while (this.#runNext(end)) await settle();
      this.#moveTo(end);
      await settle();
    });
  }

  /**
   * As `advance`, but to the next timer only. Resolves with false, and moves nothing, when none is due within so many
   * milliseconds.
   */
  step(maxMs: number): Promise<boolean> {
    return this.#next(async () => {
      const ran = this.#runNext(this.#now + maxMs);
      await settle();
      return ran;
    });
  }

  /** As `advance`, but within this call: nothing settles on the way. For what needs timers and no promises. */
  advanceAtOnce(ms: number): void {
    const end = this.#now + ms;
    while (this.#runNext(end));
    this.#moveTo(end);
  }

  /** Sets the wall clock forward, or back, while no time passes. */
  shiftWall(ms: number): void {
    this.#wallAtStart += ms;
  }

  #next<T>(move: () => Promise<T>): Promise<T> {
    const moved = this.#advancing.then(move);
    this.#advancing = moved.catch(() => {});
    return moved;
  }

  #runNext(by: number): boolean {
    const timer = this.#timers.take(by);
    if (!timer) return false;
    this.#moveTo(timer.due);
    timer.callback();
    return true;
  }

  /** Never back: a timer may have moved it at once. */
  #moveTo(time: number): void {
    if (time > this.#now) this.#now = time;
  }
}

/** Promises settle; so does what waits for a turn of the event loop, and what that sets off. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => nextTurn(resolve));
}

/** Virtual time, and chance and names that are the same for each run with this seed. */
export function virtualEnvironment(seed = 1): Environment & { readonly clock: VirtualClock } {
  return { clock: new VirtualClock(), ...seededChance(seed) };
}

/** Chance and names that are the same for each run with this seed. */
export function seededChance(seed: number): Pick<Environment, 'random' | 'randomId'> {
  const random = seededRandom(seed);
  const letter = () => LETTERS[Math.floor(random() * LETTERS.length)]!;
  return { random, randomId: () => Array.from({ length: ID_LENGTH }, letter).join('') };
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
