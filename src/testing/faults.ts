import { BrokerFullError, ConnectError, OptionError } from '../model/errors.js';
import type { Delay, FaultPlan } from './fault-plan.js';

export interface DelayOptions {
  /** Of each word of the master: a publish, an ack, a question. */
  readonly toBrokerMs?: Delay;
  /** Of each word of the broker: a confirm, a delivery, an answer. */
  readonly fromBrokerMs?: Delay;
}

export interface DropOptions {
  /** How much later than the master the broker notices, 0. Until then it takes the master for living. */
  readonly noticedAfterMs?: number;
}

/** Ends the fault; twice is once. */
export type EndFault = () => void;

/** The line that the faults are on. */
export interface FaultyLine {
  readonly plan: FaultPlan;
  drop(reason: Error, noticedAfterMs: number): void;
  blocked(): void;
  unblocked(): void;
}

/**
 * What goes wrong between one master and its `memory:` broker, from now on and over all its sessions. Words keep their order,
 * whatever delay they draw. Counts are whole numbers from 0; times are milliseconds of the broker's clock.
 */
export class Faults {
  readonly #line: FaultyLine;

  constructor(line: FaultyLine) {
    this.#line = line;
  }

  /** The connection breaks: what is under way is lost, both ways. The master connects again after its back-off. */
  dropSession({ noticedAfterMs = 0 }: DropOptions = {}): void {
    this.#line.drop(new ConnectError('A test has broken the connection.'), milliseconds(noticedAfterMs));
  }

  /** The connection breaks, and no other is had before the fault ends. */
  cutOff({ noticedAfterMs = 0 }: DropOptions = {}): EndFault {
    const { plan } = this.#line;
    const outage = (plan.outage = new ConnectError('A test has cut off the broker.'));
    this.#line.drop(outage, milliseconds(noticedAfterMs));
    return () => {
      if (plan.outage === outage) plan.outage = undefined;
    };
  }

  /**
   * Each word takes so long: a time, or one drawn between two. What is not told stays as it is. That a handler call begins
   * is noted at once.
   */
  delay({ toBrokerMs, fromBrokerMs }: DelayOptions): EndFault {
    const { plan } = this.#line;
    plan.toBrokerMs = checkDelay(toBrokerMs) ?? plan.toBrokerMs;
    plan.fromBrokerMs = checkDelay(fromBrokerMs) ?? plan.fromBrokerMs;
    return () => void (plan.toBrokerMs = plan.fromBrokerMs = 0);
  }

  /**
   * The broker takes the next publishes, and the master is not told: it does not know their outcome. They end with the
   * session, which sends them again over the next, or at their deadline.
   */
  loseConfirms(count = 1): void {
    this.#line.plan.confirmsToLose.add(wholeNumber(count));
  }

  /** The next acks do not arrive: what they were for comes again, flagged, when the session has ended. */
  loseAcks(count = 1): void {
    this.#line.plan.acksToLose.add(wholeNumber(count));
  }

  /** The next deliveries of durable queues come twice, the second time flagged as redelivered. */
  duplicateDeliveries(count = 1): void {
    this.#line.plan.deliveriesToDouble.add(wholeNumber(count));
  }

  /** The broker takes no publish; a BrokerFullError says so, unless another error is given. Acks go on. */
  refusePublishes(error: Error = new BrokerFullError('A test says that the broker is full.')): EndFault {
    const { plan } = this.#line;
    plan.refusal = error;
    return () => {
      if (plan.refusal === error) plan.refusal = undefined;
    };
  }

  /** Publishes wait at the broker, which tells the master so. Everything else goes on. */
  blockPublishes(reason = 'A test blocks publishes.'): EndFault {
    this.#line.plan.block(reason);
    this.#line.blocked();
    return () => this.#unblock();
  }

  /** Ends all faults. What has gone wrong already has. */
  clear(): void {
    const { plan } = this.#line;
    plan.toBrokerMs = plan.fromBrokerMs = 0;
    plan.outage = plan.refusal = undefined;
    for (const quota of [plan.confirmsToLose, plan.acksToLose, plan.deliveriesToDouble]) quota.clear();
    this.#unblock();
  }

  #unblock(): void {
    if (this.#line.plan.blockedBy === undefined) return;
    this.#line.plan.unblock();
    this.#line.unblocked();
  }
}

function wholeNumber(count: number): number {
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw new OptionError(`The count of a fault must be a whole number from 0, not ${String(count)}.`);
}

function milliseconds(delay: number): number {
  if (delay >= 0 && delay < Infinity) return delay;
  throw new OptionError(`The delay of a fault must be milliseconds from 0, not ${String(delay)}.`);
}

function checkDelay(delay: Delay | undefined): Delay | undefined {
  if (delay === undefined) return undefined;
  if (typeof delay === 'number') return milliseconds(delay);
  const [from, to] = delay;
  if (milliseconds(from) <= milliseconds(to)) return delay;
  throw new OptionError(`The delay of a fault must be from the shorter to the longer, not ${from} to ${to}.`);
}
