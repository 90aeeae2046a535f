import type {
  ClaimSink,
  ConsumerSink,
  Delivery,
  Holder,
  Ownership,
  SessionSink,
  TransientSink,
} from '../../backend.js';
import type { Envelope } from '../../model/message.js';

/** Something that received messages; `data` is what they held, in the order in which they came. */
export interface Received {
  readonly data: unknown[];
}

export class TransientRecord implements TransientSink, Received {
  readonly envelopes: Envelope[] = [];

  get data(): unknown[] {
    return this.envelopes.map(({ payload }) => payload.value());
  }

  message(envelope: Envelope): void {
    this.envelopes.push(envelope);
  }

  missed(): void {}
}

export class ConsumerRecord implements ConsumerSink, Received {
  readonly deliveries: Delivery[] = [];
  readonly losses: Error[] = [];

  /** `onDelivery` is called from within the backend's call. */
  constructor(readonly onDelivery: (delivery: Delivery) => void = () => {}) {}

  get data(): unknown[] {
    return this.deliveries.map(dataOf);
  }

  /** The first delivery of the message with this data. */
  of(data: unknown): Delivery {
    const found = this.deliveries.find((delivery) => dataOf(delivery) === data);
    if (!found) throw new Error(`Nothing was delivered with the data ${String(data)}.`);
    return found;
  }

  delivery(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.onDelivery(delivery);
  }

  lost(reason: Error): void {
    this.losses.push(reason);
  }
}

export class ClaimRecord implements ClaimSink {
  /** What was told, in order. */
  readonly told: ('granted' | 'standby' | 'fenced' | 'lost')[] = [];
  /** The last that was granted. */
  ownership: Ownership | undefined;
  /** Whom a standby was told of. */
  readonly holders: Holder[] = [];
  /** How many waited each time it was told that the queue is full. */
  readonly fulls: number[] = [];

  /** `onTold` is called from within the backend's call. */
  constructor(readonly onTold: (what: 'granted' | 'standby' | 'fenced' | 'lost') => void = () => {}) {}

  granted(ownership: Ownership): void {
    this.ownership = ownership;
    this.#tell('granted');
  }

  standby(holder: Holder): void {
    this.holders.push(holder);
    this.#tell('standby');
  }

  fenced(): void {
    this.#tell('fenced');
  }

  lost(): void {
    this.#tell('lost');
  }

  full(waiting: number): void {
    this.fulls.push(waiting);
  }

  has(what: 'granted' | 'standby' | 'fenced' | 'lost'): boolean {
    return this.told.includes(what);
  }

  #tell(what: 'granted' | 'standby' | 'fenced' | 'lost'): void {
    this.told.push(what);
    this.onTold(what);
  }
}

export class SessionRecord implements SessionSink {
  readonly told: string[] = [];

  blocked(): void {
    this.told.push('blocked');
  }

  unblocked(): void {
    this.told.push('unblocked');
  }

  warning(code: string): void {
    this.told.push(`warning ${code}`);
  }
}

export function dataOf(delivery: { readonly envelope: Envelope }): unknown {
  return delivery.envelope.payload.value();
}

/** Everything that an iteration gives. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** Whole numbers from `first` to `last`. */
export function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
