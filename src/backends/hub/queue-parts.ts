import type { Holder, LetterDetails, QueueSpec } from '../../backend.js';
import type { Bag, Bagged } from '../../model/bag.js';
import type { Envelope } from '../../model/message.js';

/** A message in its place in one durable queue. */
export interface Entry extends Bagged {
  readonly position: number;
  /** The journal may put another in its place that says the same and keeps its bytes elsewhere. */
  envelope: Envelope;
  readonly redrives: number;
  /** Handler calls known to have begun. */
  attempts: number;
  redelivered: boolean;
  /** A call has begun since the entry was last handed over. */
  begun: boolean;
  /** The journal's batch: nobody gets the entry before that is safe. */
  readonly batch: number;
}

export interface Letter extends LetterDetails {
  readonly id: string;
  /** As that of an entry. */
  envelope: Envelope;
  readonly redrives: number;
  readonly at: number;
}

/** A queue as the journal has kept it. */
export interface KeptQueue {
  readonly id: string;
  readonly spec: QueueSpec;
  readonly bindings: readonly string[];
  readonly epoch: number;
  readonly checkpoint: Uint8Array | undefined;
  /** In rising order of their positions. */
  readonly entries: Iterable<Pick<Entry, 'position' | 'envelope' | 'redrives' | 'attempts' | 'redelivered'>>;
  /** Oldest first. */
  readonly letters: readonly Letter[];
}

/** One consumer of the queue: a session's, with its credit. */
export interface Taker {
  readonly hasCredit: boolean;
  readonly held: Pick<Bag<Entry>, 'size' | 'add' | 'delete' | 'clear' | typeof Symbol.iterator>;
  deliver(entry: Entry): void;
  /** The queue is gone. */
  lost(reason: Error): void;
}

/** Somebody who stands for the ownership. */
export interface Claimant {
  readonly master: string;
  granted(epoch: number): void;
  standby(holder: Holder): void;
  lost(reason: Error): void;
  /** Asked of the owner: as many wait as the limit allows. */
  full(waiting: number): void;
}
