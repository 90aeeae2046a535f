import { atHand } from './at-hand.js';

/** The NATS of this test run, or undefined. `monitor` tells of it by HTTP, if it is ours. */
export function nats(): Promise<{ readonly url: string; readonly monitor?: string } | undefined> {
  return atHand('nats', 'NATS');
}
