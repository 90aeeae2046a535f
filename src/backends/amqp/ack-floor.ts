import type { Channel } from 'amqplib';

/** What the library takes for a message when it is to be acked. */
const named = (deliveryTag: number) => ({ fields: { deliveryTag } }) as Parameters<Channel['ack']>[0];

/**
 * The acks of one channel, sent once a turn of the event loop: one for all up to the first message that is not settled, and
 * one for each beyond it.
 */
export class AckFloor {
  readonly #channel: Channel;
  readonly #isOpen: () => boolean;
  /** Settled, and not yet said. */
  readonly #acked = new Set<number>();
  /** Settled and said beyond the floor. */
  readonly #said = new Set<number>();
  /** All up to this one are settled and said. */
  #floor = 0;
  #isScheduled = false;

  constructor(channel: Channel, isOpen: () => boolean) {
    this.#channel = channel;
    this.#isOpen = isOpen;
  }

  ack(deliveryTag: number): void {
    this.#acked.add(deliveryTag);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.flush());
  }

  /** It was settled in another way. */
  pass(deliveryTag: number): void {
    this.#said.add(deliveryTag);
  }

  /** All up to this one have gone back. */
  passAll(deliveryTag: number): void {
    this.#said.clear();
    this.#floor = deliveryTag;
  }

  /** Says at once what is settled. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#acked.size === 0 || !this.#isOpen()) return;
    let floor = this.#floor;
    let last: number | undefined;
    for (;;) {
      const next = floor + 1;
      if (this.#acked.delete(next)) last = next;
      else if (!this.#said.delete(next)) break;
      floor = next;
    }
    this.#floor = floor;
    if (last !== undefined) this.#channel.ack(named(last), true);
    for (const tag of this.#acked) {
      this.#channel.ack(named(tag));
      this.#said.add(tag);
    }
    this.#acked.clear();
  }
}
