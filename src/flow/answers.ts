import type { Session } from '../backend.js';
import type { Outgoing } from './outgoing.js';

/** Who is told what a session says of messages that it was given. */
export interface AnswerPorts {
  confirmed(messages: readonly Outgoing[], over: Session): void;
  refused(messages: readonly Outgoing[], over: Session, error: unknown): void;
}

/** Messages that get one answer. */
interface Batch {
  readonly answer: Promise<void>;
  readonly over: Session;
  readonly messages: Outgoing[];
}

/**
 * The answers that are awaited. A broker that confirms many messages with one word gives the same promise for all of them:
 * then they are told of together, in the order in which they were sent, and cost one reaction.
 */
export class Answers {
  readonly #ports: AnswerPorts;
  /** The last one, as long as its answer has not been heard. */
  #open: Batch | undefined;

  constructor(ports: AnswerPorts) {
    this.#ports = ports;
  }

  await(answer: Promise<void>, message: Outgoing, over: Session): void {
    const open = this.#open;
    // Two sessions may give the same promise: one that is settled already.
    if (open && open.answer === answer && open.over === over) open.messages.push(message);
    else this.#begin({ answer, over, messages: [message] });
  }

  #begin(batch: Batch): void {
    const { answer, messages, over } = (this.#open = batch);
    answer.then(
      () => {
        this.#close(batch);
        this.#ports.confirmed(messages, over);
      },
      (error: unknown) => {
        this.#close(batch);
        this.#ports.refused(messages, over, error);
      },
    );
  }

  /** Nobody who is sent from now on may join those who have their answer. */
  #close(batch: Batch): void {
    if (this.#open === batch) this.#open = undefined;
  }
}
