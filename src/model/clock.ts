import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';

/** A pending timer; its shape is the clock's own affair. */
export type Timer = object | number;

/**
 * Time, passed in so that tests decide it. `now` is monotonic, `wall` is Unix time; both in milliseconds.
 * An XState actor system takes a Clock as its `clock` option.
 */
export interface Clock {
  now(): number;
  wall(): number;
  /** Of whatever delay, also of months. */
  setTimeout(callback: () => void, delayMs: number): Timer;
  /** Undefined is no timer. */
  clearTimeout(timer: Timer | undefined): void;
}

/** What a program gets from outside: time, chance and names that nobody else has. */
export interface Environment {
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** A random name of 16 letters and digits (about 80 bits). */
  readonly randomId: () => string;
}

/** The longest delay of a timer of Node's. */
export const TIMER_MAX_MS = 2_147_483_647;

const LETTERS = '0123456789abcdefghijklmnopqrstuv';

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimeout: (callback, delayMs) =>
    delayMs > TIMER_MAX_MS ? new LongTimer(callback, delayMs) : setTimeout(callback, delayMs),
  clearTimeout: (timer) => {
    if (timer instanceof LongTimer) timer.clear();
    else clearTimeout(timer as NodeJS.Timeout | undefined);
  },
};

/** Node's timers hold 31 bits: set for longer, one would fire at once. */
class LongTimer {
  readonly #callback: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(callback: () => void, delayMs: number) {
    this.#callback = callback;
    this.#wait(delayMs);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #wait(leftMs: number): void {
    if (leftMs <= TIMER_MAX_MS) this.#timer = setTimeout(this.#callback, leftMs);
    else this.#timer = setTimeout(() => this.#wait(leftMs - TIMER_MAX_MS), TIMER_MAX_MS);
  }
}

export const systemEnvironment: Environment = {
  clock: systemClock,
  random: () => Math.random(),
  randomId: () => {
    let id = '';
    for (const byte of randomBytes(16)) id += LETTERS.charAt(byte & 31);
    return id;
  },
};
