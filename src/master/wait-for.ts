import type { Handler } from '../flow/handler.js';
import type { Clock } from '../model/clock.js';
import { Deferred } from '../flow/deferred.js';
import { DeadlineError, StoppedError } from '../model/errors.js';
import { checkKeys, checkSignal, positive } from './options.js';
import type { SubscriptionHandle } from './subscriber.js';

export interface WaitForOptions<Found = unknown> {
  /** Looks whether what is waited for has happened already; anything but undefined ends the wait with it. */
  readonly check?: () => Found;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 30_000;

/** Subscribes, then checks, then waits: what happens between the check and the wait is not missed. */
export async function waitForMessage(
  clock: Clock,
  subscribe: (handler: Handler) => Promise<SubscriptionHandle>,
  options: WaitForOptions,
): Promise<unknown> {
  checkKeys('waitFor', options, ['check', 'timeoutMs', 'signal']);
  const { check } = options;
  const timeoutMs = positive('timeoutMs', options.timeoutMs ?? TIMEOUT_MS);
  const signal = checkSignal(options.signal);
  signal?.throwIfAborted();
  const outcome = new Deferred<unknown>();
  const abort = () => outcome.reject(signal!.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const timer = clock.setTimeout(
    () => outcome.reject(new DeadlineError(`Nothing that was waited for came within ${timeoutMs} ms.`)),
    timeoutMs,
  );
  const subscribing = subscribe((message) => outcome.resolve(message));
  // Whatever the wait ends with, the subscription goes, also one that comes too late.
  const release = () => subscribing.then((subscription) => subscription.stop()).catch(() => {});
  try {
    const subscription = await Promise.race([subscribing, outcome.promise.then(() => undefined)]);
    if (subscription) {
      void subscription.ended.then(() =>
        outcome.reject(subscription.error ?? new StoppedError('The master stopped before it came.')),
      );
      const found = await Promise.race([check?.(), outcome.promise]);
      if (found !== undefined) return found;
    }
    return await outcome.promise;
  } finally {
    clock.clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    void release();
  }
}
