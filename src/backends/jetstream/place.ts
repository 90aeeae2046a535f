/** Where a delivered message stands: the server writes it into the subject of its ack. */
export interface Place {
  readonly stream: string;
  readonly consumer: string;
  /** How often the server has delivered it to this consumer. */
  readonly deliveries: number;
  /** Of the consumer's deliveries: each has the next number, also one that comes again. */
  readonly delivery: number;
  /** In its stream. */
  readonly sequence: number;
  /** Unix time of storing, in nanoseconds; exact to less than a microsecond. */
  readonly storedAt: number;
}

/** Undefined for what is no subject of an ack. Newer servers put domain and account before the stream. */
export function placeOf(ack: string): Place | undefined {
  const words = ack.split('.');
  if (words[0] !== '$JS' || words[1] !== 'ACK' || words.length < 9) return undefined;
  const from = words.length > 9 ? 4 : 2;
  const [stream, consumer, deliveries, sequence, delivery, storedAt] = words.slice(from);
  if (stream === undefined || consumer === undefined) return undefined;
  return {
    stream,
    consumer,
    deliveries: Number(deliveries),
    delivery: Number(delivery),
    sequence: Number(sequence),
    storedAt: Number(storedAt),
  };
}
