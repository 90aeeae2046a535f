import type {
  ConsumeOptions,
  Consumer,
  ConsumerSink,
  Delivery,
  LetterDetails,
  Ownership,
} from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import type { DurableQueue, Entry, Taker } from './durable-queue.js';
import type { Hub } from './hub.js';

/** A session's consumer of one queue. Whatever comes after its end is refused. */
export class HubConsumer implements Consumer, Taker {
  readonly held = new Set<Entry>();
  readonly prefetch: number;
  readonly ownership: Ownership | undefined;
  ended: () => void = () => {};

  constructor(
    readonly hub: Hub,
    readonly queue: DurableQueue,
    options: ConsumeOptions,
    readonly sink: ConsumerSink,
    readonly confirmed: () => Promise<void>,
  ) {
    this.prefetch = options.prefetch;
    this.ownership = options.ownership;
  }

  start(): void {
    this.queue.addTaker(this);
  }

  deliver(entry: Entry): void {
    this.sink.delivery(new HubDelivery(this, entry));
  }

  lost(reason: Error): void {
    this.held.clear();
    this.ended();
    // Of an exclusive queue the claim is told.
    if (!this.ownership) this.sink.lost(reason);
  }

  async close(): Promise<void> {
    this.end('closed');
    await this.confirmed();
  }

  end(how: 'closed' | 'crashed'): void {
    this.ended();
    this.queue.removeTaker(this, how);
  }

  /** Whether a settlement of this entry is accepted now. */
  holds(entry: Entry): boolean {
    return this.held.has(entry) && (this.ownership === undefined || this.ownership.valid());
  }
}

export class HubDelivery implements Delivery {
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
    if (!this.#consumer.holds(this.#entry)) return;
    this.#consumer.queue.settle(this.#consumer, this.#entry);
    this.#consumer.queue.dispatch();
  }

  async reject(letter: LetterDetails): Promise<void> {
    if (!this.#consumer.holds(this.#entry))
      throw new FencedError(`Message ${this.envelope.id} is no longer held here.`);
    this.#consumer.queue.bury(this.#entry, letter);
    this.ack();
    await this.#consumer.confirmed();
  }
}
