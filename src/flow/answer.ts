import type { Clock } from '../model/clock.js';
import { DeadlineError } from '../model/errors.js';

/** How long somebody waits. */
export interface Wait {
  /** For the text of the error: what gives no answer. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * What `ask` answers, unless the deadline passes or the signal aborts before: the asker waits no more, and what comes of
 * the question is not known.
 */
export function answer<T>(clock: Clock, wait: Wait, ask: () => Promise<T>): Promise<T> {
  const { what, timeoutMs, signal } = wait;
  if (signal?.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const end = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const abort = () => {
      end();
      reject(signal!.reason);
    };
    const overdue = () => {
      end();
      reject(
        new DeadlineError(`${what} had no answer within ${timeoutMs} ms; what became of it is not known.`),
      );
    };
    const timer = clock.setTimeout(overdue, timeoutMs);
    signal?.addEventListener('abort', abort, { once: true });
    // A question that throws is a rejected one.
    const asked = async () => ask();
    void asked().finally(end).then(resolve, reject);
  });
}
