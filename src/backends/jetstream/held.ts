import type { Msg } from '@nats-io/transport-node';
import type { Place } from './place.js';
import type { Source } from './source.js';

/** A message that the server has delivered to this session and that is not settled. */
export class Held {
  /** Some delivery has told of it. */
  wasShown = false;

  constructor(
    public source: Source,
    readonly message: Msg,
    public ack: string,
    readonly place: Place,
  ) {}

  /** In its queue: letters that were put back are of another stream, with sequences of its own. */
  get key(): string {
    return this.source.isAgain ? `r${this.place.sequence}` : String(this.place.sequence);
  }
}

/** Whether `one` comes before `other` in their queue. */
export function comesBefore(one: Held, other: Held): boolean {
  return one.source.isAgain === other.source.isAgain
    ? one.place.sequence < other.place.sequence
    : one.place.storedAt < other.place.storedAt;
}
