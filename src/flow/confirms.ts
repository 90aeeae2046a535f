import type { Ownership, Refusals, Session } from '../backend.js';
import type { Envelope } from '../model/message.js';
import type { Outgoing } from './outgoing.js';

/** Who is told what a session says of messages that it was given. */
export interface ConfirmPorts {
  confirmed(messages: readonly Outgoing[], over: Session): void;
  refused(messages: readonly Outgoing[], over: Session, error: unknown): void;
}

/** Messages that get one answer. */
interface Batch {
  readonly answer: Promise<Refusals | void>;
  readonly over: Session;
  readonly messages: Outgoing[];
}

/**
 * The confirms that are awaited. A broker that confirms many messages with one word gives the same promise for all of them:
 * then they are told of together, in the order in which they were sent, and cost one reaction.
 */
export class Confirms {
  readonly #ports: ConfirmPorts;
  /** The last one, as long as its answer has not been heard. */
  #open: Batch | undefined;

  constructor(ports: ConfirmPorts) {
    this.#ports = ports;
  }

  /** Hands a message over. */
  send(message: Outgoing, envelope: Envelope, over: Session): void {
    message.sent = envelope;
    const answer = publish(over, envelope, message.terms.fence);
    const open = this.#open;
    // Two sessions may give the same promise: one that is settled already.
    if (open && open.answer === answer && open.over === over) open.messages.push(message);
    else this.#begin({ answer, over, messages: [message] });
  }

  #begin(batch: Batch): void {
    const { answer, messages, over } = (this.#open = batch);
    answer.then(
      (refusals) => {
        this.#close(batch);
        if (refusals) this.#answered(batch, refusals);
        else this.#ports.confirmed(messages, over);
      },
      (error: unknown) => {
        this.#close(batch);
        this.#ports.refused(messages, over, error);
      },
    );
  }

  #answered({ messages, over }: Batch, refusals: Refusals): void {
    for (const message of messages) {
      const error = refusals.get(message.sent!);
      if (error) this.#ports.refused([message], over, error);
      else this.#ports.confirmed([message], over);
    }
  }

  /** Nobody who is sent from now on may join those who have their answer. */
  #close(batch: Batch): void {
    if (this.#open === batch) this.#open = undefined;
  }
}

/** A backend that throws where it should reject has refused as well. */
function publish(
  session: Session,
  envelope: Envelope,
  fence: Ownership | undefined,
): Promise<Refusals | void> {
  try {
    return session.publish(envelope, fence);
  } catch (error) {
    return Promise.reject(error);
  }
}
