import type { ConsumeMessage } from 'amqplib';
import type { Delivery, LetterDetails } from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import type { Calls } from '../broker/call-record.js';
import type { AmqpConsumer } from './consumer.js';

/** A message in hand. What is said of it after its consumer has ended goes nowhere. */
export class AmqpDelivery implements Delivery {
  readonly redelivered: boolean;
  readonly attempt: number;

  constructor(
    readonly consumer: AmqpConsumer,
    public message: ConsumeMessage,
    readonly envelope: Envelope,
    readonly redrives: number,
    readonly calls: Calls,
  ) {
    this.redelivered = calls.isFlagged || redrives > 0;
    this.attempt = calls.attempts + 1;
  }

  /** As duplicates are recognised. */
  get key(): string {
    return `${this.envelope.id}/${this.redrives}`;
  }

  begin(attempt: number): Promise<void> | undefined {
    const { ownership } = this.consumer;
    // Of a shared queue only the broker counts.
    if (!ownership || !this.consumer.holds(this)) return undefined;
    ownership.calls.begun(this.key, attempt);
    return this.redelivered && !ownership.isBlocked ? ownership.noteCalls() : undefined;
  }

  cutOff(): void {
    if (this.consumer.holds(this)) this.consumer.ownership?.calls.cutOff(this.key);
  }

  ack(): void {
    if (this.consumer.holds(this)) this.consumer.settle(this);
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
