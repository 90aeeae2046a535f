import type { Consumer, ConsumerSink, Delivery, LetterDetails } from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { unpackEnvelope } from '../../model/packed-fields.js';
import { ConsumerNotes, type Noted } from './consumer-notes.js';
import { errorOf } from './error-words.js';
import type { RemoteOwnership } from './remote-claim.js';
import type { Wire } from './remote-session.js';
import type { RunReader } from './runs.js';
import { Said } from './words.js';

/** A consumer of one queue, at the master's end of the socket. */
export class RemoteConsumer implements Consumer {
  readonly wire: Wire;
  readonly number: number;
  readonly notes: ConsumerNotes;
  readonly #sink: ConsumerSink;
  readonly #ownership: RemoteOwnership | undefined;
  readonly #ended: () => void;
  #delivered = 0;
  #isOpen = true;

  constructor(
    wire: Wire,
    number: number,
    ownership: RemoteOwnership | undefined,
    sink: ConsumerSink,
    ended: () => void,
  ) {
    this.wire = wire;
    this.number = number;
    this.notes = new ConsumerNotes(wire.writer, number);
    this.#sink = sink;
    this.#ownership = ownership;
    this.#ended = ended;
    ownership?.consumers.add(this);
  }

  /** Deliveries are numbered by their order, here as in the hub. */
  delivered(run: RunReader): void {
    const [, attempt, redelivered, redrives] = run.numbers;
    const common = { attempt, redelivered: redelivered === 1, redrives };
    while (this.#isOpen && run.next()) {
      const envelope = unpackEnvelope(run.bytes, run.from, run.to);
      this.#sink.delivery(new RemoteDelivery(this, ++this.#delivered, envelope, common));
    }
  }

  allow(inHand: number): void {
    // At the end of the session nobody waits for more.
    if (this.isOpen) void this.wire.call('allow', this.number, inHand).catch(() => {});
  }

  lost(error: unknown): void {
    if (!this.#isOpen) return;
    this.finish();
    this.#sink.lost(errorOf(error));
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.finish();
    await this.wire.call('endConsumer', this.number);
  }

  /** Nothing more comes, and what is settled late is refused. */
  finish(): void {
    this.#isOpen = false;
    this.#ownership?.consumers.delete(this);
    this.#ended();
  }

  /** Whether a settlement still counts. The hub decides; this spares it what it would refuse. */
  get isOpen(): boolean {
    return this.#isOpen && this.wire.isOpen;
  }
}

/** What holds for a run of deliveries. */
type Common = Pick<Delivery, 'redelivered' | 'attempt' | 'redrives'>;

class RemoteDelivery implements Delivery, Noted {
  readonly #consumer: RemoteConsumer;
  readonly #common: Common;
  unsaidAttempt = 0;

  constructor(
    consumer: RemoteConsumer,
    readonly number: number,
    readonly envelope: Envelope,
    common: Common,
  ) {
    this.#consumer = consumer;
    this.#common = common;
  }

  get redelivered(): boolean {
    return this.#common.redelivered;
  }

  get attempt(): number {
    return this.#common.attempt;
  }

  get redrives(): number {
    return this.#common.redrives;
  }

  /**
   * Of a message that may have been handled before, the note must survive the death of this process. What the kernel has
   * taken does: the hub reads it before it finds the socket closed. Waiting for an answer to each would cost ten times
   * the time when a whole backlog comes flagged, as it does after the death of a hub.
   */
  begin(attempt: number): Promise<void> | undefined {
    if (!this.#consumer.isOpen) return undefined;
    this.#consumer.notes.begin(this, attempt);
    if (!this.redelivered && attempt === 1) return undefined;
    const { wire } = this.#consumer;
    wire.writer.flush();
    return wire.writer.bytesWaiting === 0 ? undefined : wire.askWhetherAlive();
  }

  cutOff(): void {
    const { wire, number } = this.#consumer;
    if (this.#consumer.isOpen) wire.writer.say([Said.cutOff, number, this.number]);
  }

  ack(): void {
    if (this.#consumer.isOpen) this.#consumer.notes.ack(this);
  }

  async reject(letter: LetterDetails): Promise<void> {
    if (!this.#consumer.isOpen) throw new FencedError(`Message ${this.envelope.id} is no longer held here.`);
    await this.#consumer.wire.call('reject', this.#consumer.number, this.number, letter);
  }

  /** Its name in a save. */
  get name(): readonly [number, number] {
    return [this.#consumer.number, this.number];
  }
}

export function deliveryName(delivery: Delivery): readonly [number, number] {
  if (delivery instanceof RemoteDelivery) return delivery.name;
  throw new TypeError('A delivery of another session.');
}
