import type { Draft, FrameWriter, Word } from './frames.js';
import { Said } from './words.js';

/** A delivery, as far as notes go. */
export interface Noted {
  readonly number: number;
  /** The attempt that has begun and has not been said; 0 if there is none. */
  unsaidAttempt: number;
}

/**
 * What the calls of one consumer have come to within one frame: which of them have begun and not ended, and from where to
 * where deliveries are acked. What begins and ends within a frame is an ack and nothing else.
 */
export class ConsumerNotes implements Draft {
  readonly #writer: FrameWriter;
  readonly #consumer: number;
  #begun: Noted[] = [];
  /** First and last of each range. */
  #acked: number[] = [];
  #frame = -1;

  constructor(writer: FrameWriter, consumer: number) {
    this.#writer = writer;
    this.#consumer = consumer;
  }

  begin(delivery: Noted, attempt: number): void {
    delivery.unsaidAttempt = attempt;
    this.#begun.push(delivery);
    this.#say();
  }

  ack(delivery: Noted): void {
    const { number } = delivery;
    delivery.unsaidAttempt = 0;
    const last = this.#acked.length - 1;
    if (this.#acked[last] === number - 1) this.#acked[last] = number;
    else this.#acked.push(number, number);
    this.#say();
  }

  words(): readonly Word[] {
    const words: Word[] = [];
    for (const delivery of this.#begun) {
      if (delivery.unsaidAttempt === 0) continue;
      words.push([Said.begin, this.#consumer, delivery.number, delivery.unsaidAttempt]);
      delivery.unsaidAttempt = 0;
    }
    for (let at = 0; at < this.#acked.length; at += 2)
      words.push([Said.ack, this.#consumer, this.#acked[at], this.#acked[at + 1]]);
    this.#begun = [];
    this.#acked = [];
    return words;
  }

  #say(): void {
    const { frame } = this.#writer;
    if (this.#frame === frame) return;
    // Before it is said, since that may complete the frame.
    this.#frame = frame;
    this.#writer.say(this);
  }
}
