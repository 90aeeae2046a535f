import type { LetterDetails } from '../backend.js';
import type { SessionState } from '../../actors/session.js';
import type { ConsumerStatus } from '../../actors/consumer.js';
import type { SubscriptionHandle } from './subscriber.js';

/** What `master.on` tells, by name: plain objects. Nothing is logged. */
export interface MasterEvents {
  /** The broker connection. `attempt` and `delayMs` speak of the next attempt. */
  session: { state: SessionState; reason: string; attempt: number; delayMs: number };
  /** `takeoverMs`: from the grant until the consumer was ready; 0 for other changes. */
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
