import type {
  ConsumeOptions,
  Consumer,
  ConsumerSink,
  Delivery,
  LetterDetails,
  Ownership,
} from '../../backend.js';
import { Bag } from '../../model/bag.js';
import { FencedError } from '../../model/errors.js';
import type { DurableQueue } from './durable-queue.js';
import type { Entry, Taker } from './queue-parts.js';
import { HubOwnership } from './hub-claim.js';
import type { Hub } from './hub.js';

/** A session's consumer of one queue. Whatever comes after its end is refused. */
export class HubConsumer implements Consumer, Taker {
  readonly held = new Bag<Entry>();
  #inHandMax: number;
  readonly ownership: Ownership | undefined;
  ended: () => void = () => {};

  constructor(
    readonly hub: Hub,
    readonly queue: DurableQueue,
    options: ConsumeOptions,
    readonly sink: ConsumerSink,
    readonly confirmed: () => Promise<void>,
    readonly session: { readonly isLive: boolean; keepsUp(): boolean },
  ) {
    this.#inHandMax = options.prefetch;
    this.ownership = options.ownership;
  }

  get hasCredit(): boolean {
    return this.held.size < this.#inHandMax && this.session.keepsUp();
  }

  allow(inHand: number): void {
    this.#inHandMax = inHand;
    const { operations } = this.hub;
    operations.run(() => operations.callLater(this.queue));
  }

  start(): void {
    if (this.ownership instanceof HubOwnership) this.ownership.consumers.add(this);
    this.queue.addTaker(this);
  }

  deliver(entry: Entry): void {
    this.sink.delivery(new HubDelivery(this, entry));
  }

  lost(reason: Error): void {
    this.#forget();
    // Of an exclusive queue the claim is told.
    if (!this.ownership)
      this.hub.operations.say({ say: () => this.session.isLive && this.sink.lost(reason) });
  }

  async close(): Promise<void> {
    this.hub.operations.run(() => this.end('closed'));
    await this.confirmed();
  }

  end(how: 'closed' | 'crashed'): void {
    this.queue.removeTaker(this, how);
    this.#forget();
  }

  #forget(): void {
    this.held.clear();
    if (this.ownership instanceof HubOwnership) this.ownership.consumers.delete(this);
    this.ended();
  }

  /** Whether a settlement of this entry is accepted now. */
  holds(entry: Entry): boolean {
    return this.held.has(entry) && (this.ownership === undefined || this.ownership.valid());
  }
}

class HubDelivery implements Delivery {
  readonly envelope;
  readonly redelivered: boolean;
  readonly attempt: number;
  readonly redrives: number;
  readonly #consumer: HubConsumer;
  readonly #entry: Entry;

  constructor(consumer: HubConsumer, entry: Entry) {
    this.#consumer = consumer;
    this.#entry = entry;
    this.envelope = entry.envelope;
    this.redelivered = entry.redelivered;
    this.attempt = entry.attempts + 1;
    this.redrives = entry.redrives;
  }

  begin(attempt: number): Promise<void> | undefined {
    if (this.#consumer.holds(this.#entry)) this.#consumer.queue.begin(this.#entry, attempt);
    return undefined;
  }

  cutOff(): void {
    if (this.#consumer.holds(this.#entry)) this.#consumer.queue.cutOff(this.#entry);
  }

  ack(): void {
    this.#consumer.hub.operations.run(HubDelivery.#settle, this);
  }

  static readonly #settle = (delivery: HubDelivery): void => {
    const consumer = delivery.#consumer;
    if (consumer.holds(delivery.#entry)) consumer.queue.settle(consumer, delivery.#entry);
  };

  async reject(letter: LetterDetails): Promise<void> {
    if (!this.#consumer.holds(this.#entry))
      throw new FencedError(`Message ${this.envelope.id} is no longer held here.`);
    this.#consumer.hub.operations.run(() => {
      this.#consumer.queue.bury(this.#entry, letter);
      this.ack();
    });
    await this.#consumer.confirmed();
  }
}
