import { delayMs, type Backoff } from './backoff.js';
import { TIMER_MAX_MS } from './clock.js';
import { HandlerTimeoutError, RejectError, RetryError, toError } from './errors.js';

/** How a handler call ended. `attempt` counts from 1, over all masters, time-outs included. */
export type HandlerOutcome =
  | { readonly outcome: 'returned' }
  | { readonly outcome: 'threw'; readonly error: unknown; readonly attempt: number }
  | { readonly outcome: 'timed-out'; readonly attempt: number };

/** `attemptsMax` counts handler calls in all. */
export interface RetryPolicy extends Backoff {
  readonly attemptsMax: number;
}

/** What becomes of a delivery. */
export type Settlement =
  | { readonly type: 'ack' }
  | { readonly type: 'retry'; readonly delayMs: number }
  | { readonly type: 'reject'; readonly reason: 'attempts' | 'rejected'; readonly error: Error };

/**
 * A handler that returns acks. One that throws `RejectError` rejects at once; anything else retries until `attemptsMax`
 * calls were made, after the delay of its `RetryError` if that names one, else after the policy's.
 */
export function decide(
  outcome: HandlerOutcome,
  policy: RetryPolicy,
  ports: { readonly random: () => number },
): Settlement {
  if (outcome.outcome === 'returned') return { type: 'ack' };
  const { attempt } = outcome;
  const error =
    outcome.outcome === 'threw'
      ? toError(outcome.error)
      : new HandlerTimeoutError(`Attempt ${attempt} ran past handlerTimeoutMs.`);
  if (error instanceof RejectError) return { type: 'reject', reason: 'rejected', error };
  // Written so that an attempt that is no number ends here instead of going on for ever.
  if (!(attempt < policy.attemptsMax)) return { type: 'reject', reason: 'attempts', error };
  const asked = error instanceof RetryError ? error.delayMs : undefined;
  if (asked === undefined || !(asked >= 0)) {
    return { type: 'retry', delayMs: delayMs({ ...policy, attempt }, ports.random) };
  }
  return { type: 'retry', delayMs: Math.min(asked, TIMER_MAX_MS) };
}
