import type { Consumer, ConsumerSink, Delivery, LetterDetails } from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { errorOf } from './error-words.js';
import type { Word } from './frames.js';
import { unpackEnvelope } from '../../model/packed-fields.js';
import { readBytes, readNumber, readText } from './read-word.js';
import type { RemoteOwnership } from './remote-claim.js';
import type { Wire } from './remote-session.js';
import { Said } from './words.js';

/** A consumer of one queue, at the master's end of the socket. */
export class RemoteConsumer implements Consumer {
  readonly #wire: Wire;
  readonly #number: number;
  readonly #sink: ConsumerSink;
  readonly #ownership: RemoteOwnership | undefined;
  readonly #ended: () => void;
  #isOpen = true;

  constructor(
    wire: Wire,
    number: number,
    ownership: RemoteOwnership | undefined,
    sink: ConsumerSink,
    ended: () => void,
  ) {
    this.#wire = wire;
    this.#number = number;
    this.#ownership = ownership;
    this.#sink = sink;
    this.#ended = ended;
    ownership?.consumers.add(this);
  }

  delivered([, , number, topic, bytes, redelivered, attempt, redrives]: Word): void {
    if (!this.#isOpen) return;
    const delivery = new RemoteDelivery(this.#wire, this, this.#number, {
      number: readNumber(number),
      envelope: unpackEnvelope(readText(topic), readBytes(bytes)),
      redelivered: redelivered === true,
      attempt: readNumber(attempt),
      redrives: readNumber(redrives),
    });
    this.#sink.delivery(delivery);
  }

  lost(error: unknown): void {
    if (!this.#isOpen) return;
    this.finish();
    this.#sink.lost(errorOf(error));
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.finish();
    await this.#wire.call('endConsumer', this.#number);
  }

  /** Nothing more comes, and what is settled late is refused. */
  finish(): void {
    this.#isOpen = false;
    this.#ownership?.consumers.delete(this);
    this.#ended();
  }

  /** Whether a settlement still counts. The hub decides; this spares it what it would refuse. */
  get isOpen(): boolean {
    return this.#isOpen && this.#wire.isOpen;
  }
}

interface Delivered {
  readonly number: number;
  readonly envelope: Envelope;
  readonly redelivered: boolean;
  readonly attempt: number;
  readonly redrives: number;
}

class RemoteDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly redelivered: boolean;
  readonly attempt: number;
  readonly redrives: number;
  readonly number: number;
  readonly #wire: Wire;
  readonly #consumer: RemoteConsumer;
  readonly #consumerNumber: number;
  /** The word that said that a call has begun, and the frame that it goes in. */
  #begun: { readonly word: unknown[]; readonly frame: number } | undefined;

  constructor(wire: Wire, consumer: RemoteConsumer, consumerNumber: number, delivered: Delivered) {
    this.#wire = wire;
    this.#consumer = consumer;
    this.#consumerNumber = consumerNumber;
    this.number = delivered.number;
    this.envelope = delivered.envelope;
    this.redelivered = delivered.redelivered;
    this.attempt = delivered.attempt;
    this.redrives = delivered.redrives;
  }

  /**
   * Of a message that may have been handled before, the note must survive the death of this process. What the kernel has
   * taken does: the hub reads it before it finds the socket closed. Waiting for an answer to each would cost ten times
   * the time when a whole backlog comes flagged, as it does after the death of a hub.
   */
  begin(attempt: number): Promise<void> | undefined {
    if (!this.#consumer.isOpen) return undefined;
    const { writer } = this.#wire;
    const word: unknown[] = [Said.begin, this.#consumerNumber, this.number, attempt];
    writer.say(word as unknown as Word);
    this.#begun = { word, frame: writer.frame };
    if (!this.redelivered && attempt === 1) return undefined;
    writer.flush();
    return writer.bytesWaiting === 0 ? undefined : this.#wire.askWhetherAlive();
  }

  cutOff(): void {
    if (this.#consumer.isOpen) this.#wire.writer.say([Said.cutOff, this.#consumerNumber, this.number]);
  }

  ack(): void {
    if (!this.#consumer.isOpen) return;
    const { writer } = this.#wire;
    // What has begun and ended within one turn is said in one word.
    if (this.#begun?.frame === writer.frame) {
      this.#begun.word[0] = Said.ack;
      this.#begun.word[3] = this.number;
    } else writer.say([Said.ack, this.#consumerNumber, this.number, this.number]);
  }

  async reject(letter: LetterDetails): Promise<void> {
    if (!this.#consumer.isOpen) throw new FencedError(`Message ${this.envelope.id} is no longer held here.`);
    await this.#wire.call('reject', this.#consumerNumber, this.number, letter);
  }

  /** Its name in a save. */
  get name(): readonly [number, number] {
    return [this.#consumerNumber, this.number];
  }
}

export function deliveryName(delivery: Delivery): readonly [number, number] {
  if (delivery instanceof RemoteDelivery) return delivery.name;
  throw new TypeError('A delivery of another session.');
}
