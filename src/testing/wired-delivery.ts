import type { Delivery, LetterDetails } from '../backend.js';
import type { Envelope } from '../model/message.js';
import type { Exchange } from './exchange.js';
import type { FaultPlan } from './fault-plan.js';

/** What becomes of deliveries. */
export interface DeliveryReports {
  handled(delivery: WiredDelivery): void;
  buried(delivery: WiredDelivery, letter: LetterDetails): void;
  ackLost(): void;
}

export interface DeliveryPorts {
  readonly exchange: Exchange;
  readonly plan: FaultPlan;
  readonly queue: string;
  readonly epoch: number | undefined;
  readonly reports: DeliveryReports;
}

/** A delivery at this end of the wire. */
export class WiredDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly redelivered: boolean;
  readonly attempt: number;
  readonly redrives: number;
  /** Of the handler call that began last; undefined if none has. */
  begun: number | undefined;
  /** Whether that call was told of an earlier one. */
  wasFlagged: boolean;

  constructor(
    readonly real: Delivery,
    readonly ports: DeliveryPorts,
    how: { readonly isCopy: boolean },
  ) {
    const { envelope, redelivered, attempt, redrives } = real;
    this.envelope = envelope;
    this.redelivered = redelivered || how.isCopy;
    this.attempt = attempt;
    this.redrives = redrives;
    this.wasFlagged = this.redelivered || envelope.resent;
  }

  begin(attempt: number): Promise<void> | undefined {
    if (this.begun !== undefined) this.wasFlagged = true;
    this.begun = attempt;
    // Whatever becomes of this side: what was said before a call begins is with the broker.
    return this.ports.exchange.hasEnded ? undefined : this.real.begin(attempt);
  }

  cutOff(): void {
    this.ports.exchange.toBroker.say(() => this.real.cutOff());
  }

  ack(): void {
    const { exchange, plan, reports } = this.ports;
    if (this.begun !== undefined && !exchange.hasEnded) reports.handled(this);
    exchange.toBroker.say(() => {
      if (plan.acksToLose.take()) reports.ackLost();
      else this.real.ack();
    });
  }

  async reject(letter: LetterDetails): Promise<void> {
    const { exchange, reports } = this.ports;
    await exchange.call(() => this.real.reject(letter));
    reports.buried(this, letter);
  }
}
