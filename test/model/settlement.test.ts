import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HandlerError, HandlerTimeoutError, RejectError, RetryError } from '../../src/model/errors.js';
import { decide, type HandlerOutcome, type RetryPolicy } from '../../src/model/settlement.js';

const policy: RetryPolicy = { attemptsMax: 10, minDelayMs: 100, maxDelayMs: 60_000 };
const ports = { random: () => 0.5 };

function threw(error: unknown, attempt = 1): HandlerOutcome {
  return { outcome: 'threw', error, attempt };
}

describe('what becomes of a delivery', () => {
  test('rejected at attemptsMax at the latest, retried before within the longest delay', () => {
    const error = fc.oneof(fc.anything(), fc.constant(new Error('x')), fc.constant(new RetryError()));
    const outcome = fc.oneof(
      fc.record({ outcome: fc.constant('threw' as const), error, attempt: fc.integer({ min: 1, max: 20 }) }),
      fc.record({ outcome: fc.constant('timed-out' as const), attempt: fc.integer({ min: 1, max: 20 }) }),
    );
    fc.assert(
      fc.property(outcome, fc.double({ min: 0, max: 0.999, noNaN: true }), (one, chance) => {
        const settlement = decide(one, policy, { random: () => chance });
        if (one.attempt >= 10) {
          expect(settlement).toMatchObject({
            type: 'reject',
            reason: 'attempts',
            error: expect.any(Error) as unknown,
          });
        } else {
          expect(settlement.type).toBe('retry');
          expect(settlement.type === 'retry' && settlement.delayMs).toBeLessThanOrEqual(
            100 * 2 ** (one.attempt - 1),
          );
        }
      }),
    );
  });

  test('acked when its handler returned', () => {
    expect(decide({ outcome: 'returned' }, policy, ports)).toEqual({ type: 'ack' });
  });

  test('rejected at once by a RejectError, also on the last attempt', () => {
    const error = new RejectError('no such builder');
    for (const attempt of [1, 10, 11]) {
      expect(decide(threw(error, attempt), policy, ports)).toEqual({
        type: 'reject',
        reason: 'rejected',
        error,
      });
    }
  });

  test('retried after the delay of the policy', () => {
    expect(decide(threw(new Error('x'), 3), policy, ports)).toEqual({ type: 'retry', delayMs: 200 });
    expect(decide(threw(new RetryError(), 3), policy, ports)).toEqual({ type: 'retry', delayMs: 200 });
    expect(decide({ outcome: 'timed-out', attempt: 3 }, policy, ports)).toEqual({
      type: 'retry',
      delayMs: 200,
    });
  });

  test('retried after the delay of its RetryError, beyond the longest of the policy too', () => {
    for (const delayMs of [0, 5, 3_600_000]) {
      expect(decide(threw(new RetryError({ delayMs })), policy, ports)).toEqual({ type: 'retry', delayMs });
    }
  });

  test('retried no later than a timer can wait', () => {
    for (const delayMs of [2 ** 31, Infinity]) {
      expect(decide(threw(new RetryError({ delayMs })), policy, ports)).toEqual({
        type: 'retry',
        delayMs: 2 ** 31 - 1,
      });
    }
  });

  test('retried by the policy when the delay of its RetryError makes no sense', () => {
    for (const delayMs of [-1, NaN]) {
      expect(decide(threw(new RetryError({ delayMs })), policy, ports)).toEqual({
        type: 'retry',
        delayMs: 50,
      });
    }
  });

  test('rejected by a RetryError of the last attempt', () => {
    const error = new RetryError({ delayMs: 5 });
    expect(decide(threw(error, 10), policy, ports)).toEqual({ type: 'reject', reason: 'attempts', error });
  });

  test('rejected with an error that tells of the time-out', () => {
    const settlement = decide({ outcome: 'timed-out', attempt: 10 }, policy, ports);
    expect(settlement).toMatchObject({
      type: 'reject',
      reason: 'attempts',
      error: expect.any(HandlerTimeoutError) as unknown,
    });
  });

  test('rejected with an error whatever was thrown', () => {
    const settlement = decide(threw('plain text', 10), policy, ports);
    expect(settlement).toMatchObject({ error: expect.any(HandlerError) as unknown });
    expect(settlement).toMatchObject({ error: { cause: 'plain text' } });
  });

  test('retried for ever when the policy says so, and never because a count is no number', () => {
    const patient = { ...policy, attemptsMax: Infinity };
    expect(decide(threw(new Error('x'), 1e6), patient, ports).type).toBe('retry');
    expect(decide(threw(new Error('x'), NaN), policy, ports).type).toBe('reject');
  });
});
