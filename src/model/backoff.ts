/** How long to wait before another attempt: of a delivery, of a connection. */
export interface Backoff {
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
}

// Two to this power is still finite, so that an attempt of any number gives a delay.
const DOUBLINGS_MAX = 1_000;

/**
 * Full jitter: anything from 0 up to a ceiling that starts at `minDelayMs`, doubles with each attempt (counted from 1)
 * and stays at `maxDelayMs`. Whole milliseconds. `random` gives a number in [0, 1).
 */
export function delayMs(backoff: Backoff & { readonly attempt: number }, random: () => number): number {
  const doublings = Math.min(Math.max(backoff.attempt - 1, 0), DOUBLINGS_MAX);
  const ceiling = Math.min(backoff.maxDelayMs, backoff.minDelayMs * 2 ** doublings);
  return Math.floor(random() * ceiling);
}
