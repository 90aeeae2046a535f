import { setTimeout as wait } from 'node:timers/promises';
import { systemClock, type Clock, type Timer } from '../model/clock.js';
import { DeadlineError } from '../model/errors.js';
import { VirtualClock } from './virtual-clock.js';

/** A clock that a test moves, or waits for. */
export interface TestClock extends Clock {
  /** Timers that are neither due nor cleared. */
  readonly pending: number;
  /** Lets so many milliseconds pass, and what they set off settle. */
  advance(ms: number): Promise<void>;
  /** Lets the time pass to the next timer; false if none is due within so many milliseconds. */
  step(maxMs: number): Promise<boolean>;
}

export function createTestClock(time: 'virtual' | 'real'): TestClock {
  return time === 'virtual' ? new VirtualClock() : new RealClock();
}

/** The time of the machine: to advance it is to wait. */
class RealClock implements TestClock {
  readonly #timers = new Set<Timer>();

  readonly now = (): number => systemClock.now();
  readonly wall = (): number => systemClock.wall();

  get pending(): number {
    return this.#timers.size;
  }

  readonly setTimeout = (callback: () => void, delayMs: number): Timer => {
    const timer = systemClock.setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, delayMs);
    this.#timers.add(timer);
    return timer;
  };

  readonly clearTimeout = (timer: Timer | undefined): void => {
    if (timer) this.#timers.delete(timer);
    systemClock.clearTimeout(timer);
  };

  async advance(ms: number): Promise<void> {
    await wait(ms);
  }

  /** A look now and then: the time passes by itself. */
  async step(maxMs: number): Promise<boolean> {
    await wait(Math.min(maxMs, LOOK_MS));
    return true;
  }
}

const LOOK_MS = 2;
const PATIENCE_MS = 5_000;

/** How long time may pass. */
export interface PassOptions {
  /** Of the clock's time. */
  readonly timeoutMs?: number;
  /** How long a virtual clock stands still, in real time, for what takes that, such as a file that a handler reads: 5 s. */
  readonly patienceMs?: number;
}

/** What time passes for. */
export interface Wait extends PassOptions {
  readonly timeoutMs: number;
  /** Whether it has happened. */
  isOver(): boolean | Promise<boolean>;
  /** Whether what is waited for needs no time of the clock: then that stands still, and real time passes. */
  standsStill?(): boolean;
  /** Whether it needs both: then a little real time passes before each step. */
  isSlow?(): boolean;
  /** What is waited for, for the error: "It is not so: …". */
  what(): string;
}

/**
 * Lets time pass, from timer to timer, until something has happened. Rejects with a DeadlineError at `timeoutMs`, and when
 * nothing has happened for `patienceMs` in which a virtual clock had nothing to do.
 */
export async function passTime(
  clock: TestClock,
  { timeoutMs, patienceMs = PATIENCE_MS, ...waited }: Wait,
): Promise<void> {
  const end = clock.now() + timeoutMs;
  const patience = Math.ceil(patienceMs / LOOK_MS);
  let looks = 0;
  await clock.advance(0);
  while (!(await waited.isOver())) {
    const leftMs = end - clock.now();
    if (leftMs <= 0)
      throw new DeadlineError(`After ${timeoutMs} ms this had not come to an end: ${waited.what()}.`);
    if (waited.isSlow?.()) await wait(LOOK_MS);
    if (clock.pending > 0 && !waited.standsStill?.()) {
      if (!(await clock.step(leftMs))) await clock.advance(leftMs);
      looks = 0;
    } else if (looks++ < patience) await wait(LOOK_MS);
    else throw new DeadlineError(`This does not come to an end by time passing: ${waited.what()}.`);
  }
}

/** Lets time pass until a promise has settled, and settles as it does. DeadlineError after an hour of the clock's time. */
export async function passTimeUntil<T>(
  clock: TestClock,
  promise: Promise<T>,
  options: PassOptions & Pick<Wait, 'isSlow'>,
): Promise<T> {
  let isSettled = false;
  const settled = () => void (isSettled = true);
  promise.then(settled, settled);
  const wait = { timeoutMs: 3_600_000, ...options, isOver: () => isSettled };
  await passTime(clock, { ...wait, what: () => 'a promise that does not settle' });
  return promise;
}
