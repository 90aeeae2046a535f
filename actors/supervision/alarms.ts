import type { AnyActorRef } from 'xstate';
import { systemClock, type Clock, type Timer } from '../../src/model/clock.js';

/** Past this a timer of Node fires at once. */
export const TIMER_MAX_MS = 2_147_483_647;

/** The part of a clock that supervision needs; `now` is monotonic. */
export type SupervisionClock = Pick<Clock, 'now' | 'setTimeout' | 'clearTimeout'>;

/** A pending timer. The number tells its ring from the late ring of one that was cleared. */
export interface Alarm {
  readonly number: number;
  readonly timer: Timer;
}

/** Who can have an alarm: a child, or without an id the group that restarts together. */
export interface AlarmOwner {
  readonly id: string | undefined;
  alarm: Alarm | undefined;
}

/** An alarm rings as an event, so that it waits its turn. */
export interface AlarmEvent {
  readonly type: 'supervisor.alarm';
  readonly id: string | undefined;
  readonly number: number;
}

/** The timers of one supervisor, at most one for each owner. */
export class Alarms {
  readonly #clock: SupervisionClock;
  readonly #ring: (event: AlarmEvent) => void;
  #last = 0;

  constructor(clock: SupervisionClock, ring: (event: AlarmEvent) => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  set(owner: AlarmOwner, delayMs: number): void {
    this.clear(owner);
    const { id } = owner;
    const number = ++this.#last;
    const timer = this.#clock.setTimeout(() => this.#ring({ type: 'supervisor.alarm', id, number }), delayMs);
    owner.alarm = { number, timer };
  }

  clear(owner: AlarmOwner): void {
    if (!owner.alarm) return;
    this.#clock.clearTimeout(owner.alarm.timer);
    owner.alarm = undefined;
  }

  /** Whether this is the ring of the owner's present alarm, which is spent by it. */
  spend(owner: AlarmOwner, number: number): boolean {
    if (owner.alarm?.number !== number) return false;
    owner.alarm = undefined;
    return true;
  }
}

/**
 * The clock of the actor system. Not XState's scheduler: ending any actor walks through all delayed events that the whole system
 * has scheduled, so 10,000 actors with one each took 11 s to end.
 */
export function clockOf(system: AnyActorRef['system']): SupervisionClock {
  const clock = system._clock as Pick<Clock, 'setTimeout' | 'clearTimeout'> & { now?: unknown };
  if (typeof clock.now === 'function') return clock as SupervisionClock;
  // XState's own default clock, for one, has no `now`; it is the real time.
  return {
    now: () => systemClock.now(),
    setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
    clearTimeout: (timer) => clock.clearTimeout(timer),
  };
}
