import type { Session } from '../backend.js';
import type { Link } from '../flow/link.js';
import { SessionLostError, isRetryable } from '../model/errors.js';
import { brokerError } from '../model/secrets.js';

/**
 * What it means that this session's broker refused a declaration: undefined if the session is lost, which the link tells,
 * else why it is refused for good. Throws what may pass: that is the supervisor's affair, the child crashes and is
 * started again after a while.
 */
export function refusalOf(thrown: unknown, session: Session, link: Link): Error | undefined {
  if (thrown instanceof SessionLostError || link.session !== session) return undefined;
  const error = brokerError(thrown);
  if (isRetryable(error)) throw error;
  return error;
}
