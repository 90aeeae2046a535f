import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { delayMs } from '../../src/model/backoff.js';

const almostOne = 1 - Number.EPSILON / 2;

describe('a delay', () => {
  test('is anything from 0 to a ceiling that doubles with each attempt', () => {
    const any = { noNaN: true, noDefaultInfinity: true, min: 0 };
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.double({ ...any, max: almostOne }),
        (attempt, minDelayMs, maxDelayMs, chance) => {
          const ceiling = Math.min(maxDelayMs, minDelayMs * 2 ** (attempt - 1));
          const delay = delayMs({ attempt, minDelayMs, maxDelayMs }, () => chance);
          expect(Number.isInteger(delay)).toBe(true);
          expect(delay).toBeGreaterThanOrEqual(0);
          expect(delay).toBeLessThanOrEqual(ceiling);
          expect(Math.abs(delay - chance * ceiling)).toBeLessThan(1);
        },
      ),
    );
  });

  test('is a number of any attempt', () => {
    const attempts = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 1, 1_024, 1_025, 2_000, Infinity));
    fc.assert(
      fc.property(attempts, fc.constantFrom(0, 1, 100), (attempt, minDelayMs) => {
        const delay = delayMs({ attempt, minDelayMs, maxDelayMs: 60_000 }, () => almostOne);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(60_000);
      }),
    );
  });

  test('grows as the table says', () => {
    const ceilings = [1, 2, 3, 4, 10, 11, 1_000_000].map((attempt) =>
      delayMs({ attempt, minDelayMs: 100, maxDelayMs: 60_000 }, () => almostOne),
    );
    expect(ceilings).toEqual([99, 199, 399, 799, 51_199, 59_999, 59_999]);
  });
});
