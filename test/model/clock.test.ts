import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/model/clock.js';

const DAY_MS = 86_400_000;

describe('the system clock', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('waits for months if it is told to', () => {
    let fired = 0;
    systemClock.setTimeout(() => fired++, 60 * DAY_MS);
    vi.advanceTimersByTime(60 * DAY_MS - 1);
    expect(fired).toBe(0);
    vi.advanceTimersByTime(1);
    expect([fired, vi.getTimerCount()]).toEqual([1, 0]);
  });

  it('waits for ever if it is told to', () => {
    let fired = 0;
    const timer = systemClock.setTimeout(() => fired++, Infinity);
    vi.advanceTimersByTime(1_000 * DAY_MS);
    expect(fired).toBe(0);
    systemClock.clearTimeout(timer);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('can be told not to wait any more, before and after a part of the wait', () => {
    for (const days of [0, 30]) {
      let fired = 0;
      const timer = systemClock.setTimeout(() => fired++, 60 * DAY_MS);
      vi.advanceTimersByTime(days * DAY_MS);
      systemClock.clearTimeout(timer);
      expect(vi.getTimerCount()).toBe(0);
      vi.advanceTimersByTime(60 * DAY_MS);
      expect(fired).toBe(0);
    }
  });
});
