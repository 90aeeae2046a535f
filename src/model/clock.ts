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

const LETTERS = '0123456789abcdefghijklmnopqrstuv';

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined),
};

export const systemEnvironment: Environment = {
  clock: systemClock,
  random: () => Math.random(),
  randomId: () => {
    let id = '';
    for (const byte of randomBytes(16)) id += LETTERS.charAt(byte & 31);
    return id;
  },
};
