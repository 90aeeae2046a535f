import type { LetterDetails } from '../backend.js';
import type { Message } from '../model/message.js';

/** The broker has taken a publish. */
export interface Published {
  readonly message: Message;
  readonly master: string;
  /** A copy: the master did not know what had become of an earlier one. */
  readonly resent: boolean;
}

/** A handler of a master has done its work, and the master has acked it, whether that arrives or not. */
export interface Handled {
  readonly message: Message;
  readonly master: string;
  /** Undefined for a transient subscriber. */
  readonly queue: string | undefined;
  /** Of an exclusive queue's owner. */
  readonly epoch: number | undefined;
  readonly attempt: number;
  /** As the handler was told. */
  readonly redelivered: boolean;
}

/** A message has become a dead letter. */
export interface DeadLettered {
  readonly message: Message;
  readonly master: string;
  readonly queue: string;
  readonly reason: LetterDetails['reason'];
  readonly error: string;
  readonly attempts: number;
}

/** What has happened on a test broker, in its order. */
export class Records {
  readonly published: Published[] = [];
  readonly handled: Handled[] = [];
  readonly deadLettered: DeadLettered[] = [];
}
