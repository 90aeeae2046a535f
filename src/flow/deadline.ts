import type { Clock, Timer } from '../model/clock.js';

/** Runs something that must end in time: `deadline` resolves after `delayMs`, and its timer goes when the run has ended. */
export async function withDeadline<T>(
  clock: Clock,
  delayMs: number,
  run: (deadline: Promise<void>) => Promise<T>,
): Promise<T> {
  let timer: Timer | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = clock.setTimeout(resolve, delayMs);
  });
  try {
    return await run(deadline);
  } finally {
    clock.clearTimeout(timer);
  }
}
