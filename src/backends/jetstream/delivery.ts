import type { Delivery, LetterDetails } from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import type { Calls } from '../broker/call-record.js';
import type { JetStreamConsumer } from './consumer.js';
import type { Held } from './held.js';

/** A message in hand. What is said of it after its consumer has ended goes nowhere. */
export class JetStreamDelivery implements Delivery {
  readonly redelivered: boolean;
  readonly attempt: number;

  constructor(
    readonly consumer: JetStreamConsumer,
    readonly held: Held,
    readonly envelope: Envelope,
    readonly redrives: number,
    readonly calls: Calls,
  ) {
    this.redelivered = calls.isFlagged || redrives > 0;
    this.attempt = calls.attempts + 1;
  }

  begin(attempt: number): Promise<void> | undefined {
    const { ownership } = this.consumer;
    // Of a shared queue only the server counts.
    if (!ownership || !this.consumer.holds(this)) return undefined;
    ownership.calls.begun(this.held.key, attempt);
    return this.redelivered ? ownership.noteCalls() : undefined;
  }

  cutOff(): void {
    if (this.consumer.holds(this)) this.consumer.ownership?.calls.cutOff(this.held.key);
  }

  ack(): void {
    if (this.consumer.holds(this)) this.consumer.settle(this);
    else if (this.consumer.has(this)) this.consumer.ownership?.whenValid(() => this.ackProven());
  }

  /** Under an ownership that was proven since: whether it has lapsed meanwhile does not matter. */
  ackProven(): void {
    if (this.consumer.has(this)) this.consumer.settle(this);
  }

  async reject(letter: LetterDetails): Promise<void> {
    if (!this.consumer.holds(this))
      throw new FencedError(`Message ${this.envelope.id} is no longer held here.`);
    await this.consumer.bury(this, letter);
    this.ackProven();
  }
}
