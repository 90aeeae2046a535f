import type { ConsumeMessage } from 'amqplib';
import { isDeepStrictEqual } from 'node:util';
import type { AmqpDelivery } from './delivery.js';
import { headersOf } from './properties.js';

interface Held {
  readonly delivery: AmqpDelivery;
  at: number;
  isSettled: boolean;
}

/**
 * What a consumer has in hand. RabbitMQ closes the channel of a consumer that keeps a message for too long, so what is old goes
 * back and comes again as another delivery of the broker: whoever handles it keeps the delivery that he has.
 */
export class Holding {
  readonly #held = new Map<number, Held>();
  /** Given back, and not yet here again; in order. */
  #away: Held[] = [];

  get size(): number {
    return this.#held.size;
  }

  /** Since when the oldest is here. */
  get oldestAt(): number | undefined {
    for (const { at } of this.#held.values()) return at;
    return undefined;
  }

  add(delivery: AmqpDelivery, at: number): void {
    this.#held.set(delivery.message.fields.deliveryTag, { delivery, at, isSettled: false });
  }

  /** Whether it is in hand, or will be again, and not settled. */
  has(delivery: AmqpDelivery): boolean {
    return this.#find(delivery)?.isSettled === false;
  }

  /** Whether its ack may go out now: else it waits until the message is here again. */
  settle(delivery: AmqpDelivery): boolean {
    if (this.#held.delete(delivery.message.fields.deliveryTag)) return true;
    const away = this.#find(delivery);
    if (away) away.isSettled = true;
    return false;
  }

  /** All of it has gone back. */
  givenBack(): void {
    // A queue with a limit may drop what comes back to it: that is not waited for longer than until the next time.
    this.#away = [...this.#away.filter(({ isSettled }) => !isSettled), ...this.#held.values()];
    this.#held.clear();
  }

  /** The delivery that this message was before, if it was given back; from now on it is in hand again. */
  returned(message: ConsumeMessage, at: number): Readonly<Held> | undefined {
    if (this.#away.length === 0 || !message.fields.redelivered) return undefined;
    const index = this.#away.findIndex(({ delivery }) => isSame(delivery.message, message));
    const [held] = index < 0 ? [] : this.#away.splice(index, 1);
    if (!held) return undefined;
    held.delivery.message = message;
    held.at = at;
    this.#held.set(message.fields.deliveryTag, held);
    return held;
  }

  /** Nothing is in hand any more. */
  takeAll(): { readonly held: readonly AmqpDelivery[]; readonly away: readonly AmqpDelivery[] } {
    const held = [...this.#held.values()].map(({ delivery }) => delivery);
    const away = this.#away.map(({ delivery }) => delivery);
    this.#held.clear();
    this.#away = [];
    return { held, away };
  }

  #find(delivery: AmqpDelivery): Held | undefined {
    const held = this.#held.get(delivery.message.fields.deliveryTag);
    if (held?.delivery === delivery) return held;
    return this.#away.find((one) => one.delivery === delivery);
  }
}

/** Two that cannot be told apart may be taken for each other. */
function isSame(one: ConsumeMessage, other: ConsumeMessage): boolean {
  return (
    one.fields.routingKey === other.fields.routingKey &&
    one.fields.exchange === other.fields.exchange &&
    one.content.equals(other.content) &&
    isDeepStrictEqual(headersBut(one), headersBut(other))
  );
}

/** Without what the broker counts. */
function headersBut({ properties }: ConsumeMessage): unknown {
  const kept = Object.entries(headersOf(properties)).filter(
    ([name]) => name !== 'x-delivery-count' && name !== 'x-acquired-count',
  );
  return [Object.fromEntries(kept), properties.messageId];
}
