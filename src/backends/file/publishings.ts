import type { Refusals } from '../../backend.js';
import { ProtocolError } from '../../model/errors.js';
import { Fifo } from '../../model/fifo.js';
import type { Envelope } from '../../model/message.js';

/** The messages of one run. */
interface Batch {
  readonly run: number;
  readonly answer: Promise<Refusals | void>;
  readonly resolve: (refusals: Refusals | undefined) => void;
  readonly reject: (error: Error) => void;
  readonly messages: Envelope[];
  refusals: Map<Envelope, Error> | undefined;
  /** Of the messages, from the first. */
  answered: number;
}

/** What was published and has no answer yet. The messages of a run share one: a promise for each costs more than the rest. */
export class Publishings {
  readonly #batches = new Fifo<Batch>();
  #last: Batch | undefined;
  /** How many have been answered in this session. */
  #answered = 0;

  /** In the order of sending; `run` names those that travel together. */
  add(message: Envelope, run: number): Promise<Refusals | void> {
    if (this.#last?.run !== run) this.#batches.push((this.#last = batchOf(run)));
    this.#last.messages.push(message);
    return this.#last.answer;
  }

  /** The hub has answered for all up to this number. */
  answeredUpTo(number: number): void {
    while (this.#answered < number) {
      const batch = this.#batches.peek();
      if (!batch) throw new ProtocolError('The hub has confirmed what it was not given.');
      const count = Math.min(number - this.#answered, batch.messages.length - batch.answered);
      this.#answered += count;
      batch.answered += count;
      if (batch.answered === batch.messages.length) this.#end(batch);
    }
  }

  /** The hub has not taken this one; it will be answered for with the others. */
  refuse(number: number, error: Error): void {
    let index = number - this.#answered - 1;
    for (let at = 0, batch; index >= 0 && (batch = this.#batches.at(at)); at++) {
      const message = batch.messages[batch.answered + index];
      if (message) return void (batch.refusals ??= new Map<Envelope, Error>()).set(message, error);
      index -= batch.messages.length - batch.answered;
    }
  }

  /** Nobody knows what has become of them. */
  rejectAll(error: Error): void {
    for (let batch = this.#batches.shift(); batch; batch = this.#batches.shift()) batch.reject(error);
    this.#last = undefined;
  }

  #end(batch: Batch): void {
    this.#batches.shift();
    if (this.#last === batch) this.#last = undefined;
    const { messages, refusals } = batch;
    const alone = messages.length === 1 ? refusals?.get(messages[0]!) : undefined;
    if (alone) batch.reject(alone);
    else batch.resolve(refusals);
  }
}

function batchOf(run: number): Batch {
  let resolve!: Batch['resolve'];
  let reject!: Batch['reject'];
  const answer = new Promise<Refusals | void>((onAnswer, onError) => {
    resolve = onAnswer;
    reject = onError;
  });
  return { run, answer, resolve, reject, messages: [], refusals: undefined, answered: 0 };
}
