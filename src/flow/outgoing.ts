import type { Ownership, Session } from '../backend.js';
import type { Envelope, Origin } from '../model/message.js';
import type { Receipt } from '../model/receipt.js';
import type { Dated } from './deadlines.js';
import type { SpoolPlace } from './spool.js';

/** How long a publisher waits, and under which ownership it publishes. */
export interface Terms {
  readonly timeoutMs: number;
  readonly fence: Ownership | undefined;
  readonly signal: AbortSignal | undefined;
}

/** A message of this producer. */
export interface OwnEnvelope extends Envelope {
  readonly origin: Origin;
}

/** One message between `publish` and its end, and the publisher who waits for it. */
export class Outgoing implements Dated {
  dueAt = 0;
  deadlines: object | undefined = undefined;
  earlier: this | undefined = undefined;
  later: this | undefined = undefined;
  /** `lapsed`: its ownership is asked for. `spooled`: on the disk, or on its way there, and not at the broker. One that is at the broker may be on the disk too. */
  state: 'waiting' | 'lapsed' | 'sent' | 'spooled' | 'ended' | 'retried' = 'waiting';
  /** Where it stands in the spool, while it is there. */
  place: SpoolPlace | undefined = undefined;
  /** The session it was last handed to: what another one says of it does not count any more. */
  over: Session | undefined = undefined;
  /** What it was handed over as. */
  sent: Envelope | undefined = undefined;
  /** How many sessions it was handed to; more than none means that it may have been taken. */
  sendings = 0;
  /** Ends the wait for its publisher's signal. */
  unlisten: (() => void) | undefined = undefined;

  constructor(
    readonly envelope: OwnEnvelope,
    readonly terms: Terms,
    readonly resolve: (receipt: Receipt) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  get id(): string {
    return this.envelope.id;
  }

  get sequence(): number {
    return this.envelope.origin.sequence;
  }
}
