import type { DeadLetter as BrokerLetter } from '../backend.js';
import { Parcel } from '../flow/message-view.js';
import { DecodeError } from '../model/errors.js';
import type { Envelope, Message } from '../model/message.js';
import { Payload } from '../model/payload.js';

/** A message that was rejected, or failed too often. */
export interface DeadLetter {
  /** For `redrive` and `dropDeadLetters`: another one after each redrive. */
  readonly id: string;
  /** Its `data` is undefined if nobody could read it: then the reason is `undecodable`. */
  readonly message: Message;
  readonly reason: BrokerLetter['reason'];
  /** The text of the last error. */
  readonly error: string;
  /** Handler calls known to have begun. */
  readonly attempts: number;
  /** When it became a dead letter. */
  readonly at: Date;
  /** The failed attempts that its last owner knew of, at most the latest 20, oldest first. */
  readonly history: readonly FailedAttempt[];
}

export interface FailedAttempt {
  readonly attempt: number;
  readonly at: Date;
  /** The text of its error, at most 1,000 characters. */
  readonly error: string;
}

export function letterOf({ id, envelope, reason, error, attempts, at, history }: BrokerLetter): DeadLetter {
  const failed = history.map((one) => ({ ...one, at: new Date(one.at) }));
  return { id, message: messageOf(envelope), reason, error, attempts, at: new Date(at), history: failed };
}

function messageOf(envelope: Envelope): Message {
  try {
    return new Parcel(envelope).message();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return new Parcel({ ...envelope, payload: Payload.decode('', undefined) }).message();
  }
}
