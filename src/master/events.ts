import type { LetterDetails } from '../backend.js';
import type { SessionState } from '../../actors/session.js';
import type { ConsumerStatus } from '../../actors/consumer.js';
import { OptionError } from '../model/errors.js';
import type { SubscriptionHandle } from './subscriber.js';

/** What `master.on` tells, by name: plain objects. Nothing is logged. */
export interface MasterEvents {
  /** The broker connection. `attempt` and `delayMs` speak of the next attempt. */
  session: { state: SessionState; reason: string; attempt: number; delayMs: number };
  /**
   * This master owns an exclusive queue and consumes (`active`), its ownership has ended (any other status says how: `fenced`, `waiting`,
   * `lost`, `stopped`, `failed`), or another master owns the queue (`standby`, with that one's epoch). `takeoverMs`: from the grant until
   * the consumer was ready; 0 after a pause and for other changes.
   */
  owner: { queue: string; epoch: number; status: ConsumerStatus; takeoverMs: number };
  /** A subscriber may have missed messages: one for each subscription and outage. */
  gap: { subscription: SubscriptionHandle; reason: 'reconnect' | 'mailbox'; missed: number | undefined };
  /** One failed call of a handler. */
  failure: {
    queue: string | undefined;
    patterns: readonly string[] | undefined;
    id: string;
    topic: string;
    attempt: number;
    error: Error;
  };
  'dead-letter': { queue: string; id: string; reason: LetterDetails['reason']; error: string };
  /** A queue is gone, or a consumer or subscription that had been ready was given up. */
  lost: { queue: string | undefined; subscription: SubscriptionHandle | undefined; reason: Error };
  /** To the owner: as many messages wait as the queue's limit allows. Again only after at most half as many waited. */
  limit: { queue: string; depth: number; policy: 'reject-publish' | 'drop-oldest' };
  /** The spool: as soon as it holds anything, once a second while that changes, and when it is empty again. */
  spool: { messages: number; bytes: number };
  restart: { child: string; reason: Error; count: number };
  warning: { code: string; text: string };
}

const NAMES: Readonly<Record<keyof MasterEvents, true>> = {
  session: true,
  owner: true,
  gap: true,
  failure: true,
  'dead-letter': true,
  lost: true,
  limit: true,
  spool: true,
  restart: true,
  warning: true,
};

/** Throws an OptionError: nobody would ever be told of an event that does not exist. */
export function checkEventName(name: string): void {
  if (Object.hasOwn(NAMES, name)) return;
  throw new OptionError(`There is no event "${name}". There are ${Object.keys(NAMES).join(', ')}.`);
}
