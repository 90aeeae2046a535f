import type {
  Capabilities,
  Claim,
  ClaimSink,
  ConsumeOptions,
  Consumer,
  ConsumerSink,
  DeadLetter,
  Delivery,
  Ownership,
  QueueSpec,
  QueueStatus,
  Session,
  TransientQueue,
  TransientSink,
} from '../backend.js';
import type { HubSession } from '../backends/hub/hub-session.js';
import type { Clock } from '../model/clock.js';
import { UnsupportedError } from '../model/errors.js';
import type { Envelope } from '../model/message.js';
import { Exchange } from './exchange.js';
import type { FaultPlan } from './fault-plan.js';
import { WiredDelivery, type DeliveryReports } from './wired-delivery.js';
import { WiredOwnership } from './wired-ownership.js';

export interface WiredPorts {
  readonly clock: Clock;
  readonly plan: FaultPlan;
  readonly capabilities: Capabilities;
  readonly isFrozen: () => boolean;
  readonly reports: SessionReports;
}

/** What a session tells of what it has seen. */
export interface SessionReports {
  /** The broker has taken it. */
  published(envelope: Envelope): void;
  /** What becomes of what a queue delivers. */
  deliveries(queue: string, epoch: number | undefined): DeliveryReports;
}

/** A session as a broker over a network has it: what is asked and what is told goes over a wire, where faults are. */
export class WiredSession implements Session {
  readonly capabilities: Capabilities;
  readonly closed: Promise<Error | undefined>;
  readonly exchange: Exchange;
  readonly #real: HubSession;
  readonly #ports: WiredPorts;

  constructor(real: HubSession, ports: WiredPorts) {
    this.#real = real;
    this.#ports = ports;
    this.exchange = new Exchange(ports.clock, ports.plan);
    this.capabilities = ports.capabilities;
    this.closed = this.exchange.closed;
    void real.closed.then((reason) => this.exchange.fromBroker.say(() => this.exchange.end(reason)));
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<void> {
    const { plan, reports } = this.#ports;
    const taken = async () => {
      await this.#real.publish(envelope, realOwnership(fence));
      reports.published(envelope);
      if (plan.confirmsToLose.take()) await this.exchange.never();
    };
    return this.exchange.call(() => (plan.refusal ? Promise.reject(plan.refusal) : plan.whenTaken(taken)));
  }

  async listen(sink: TransientSink): Promise<TransientQueue> {
    const queue = await this.exchange.call(() =>
      this.#real.listen({
        message: (envelope) => this.exchange.tell(() => sink.message(envelope)),
        missed: (count) => this.exchange.tell(() => sink.missed(count)),
      }),
    );
    return {
      bind: (pattern) => this.exchange.call(() => queue.bind(pattern)),
      unbind: (pattern) => this.exchange.call(() => queue.unbind(pattern)),
      close: () => this.exchange.callIfOpen(() => queue.close()),
    };
  }

  declareQueue(spec: QueueSpec): Promise<void> {
    const { queueLimit, queueExpiry } = this.capabilities;
    return this.exchange.call(() => {
      if ((spec.limit && !queueLimit) || (spec.expiresMs !== undefined && !queueExpiry))
        throw new UnsupportedError(`This broker has no such setting as queue "${spec.name}" asks for.`);
      return this.#real.declareQueue(spec);
    });
  }

  findQueue(name: string): Promise<boolean> {
    return this.exchange.call(() => this.#real.findQueue(name));
  }

  deleteQueue(name: string, options: { whileInUse: boolean }): Promise<void> {
    return this.exchange.call(() => this.#real.deleteQueue(name, options));
  }

  queues(): Promise<QueueStatus[]> {
    return this.exchange.call(() => this.#real.queues());
  }

  async claim(queue: string, sink: ClaimSink): Promise<Claim> {
    const { exchange } = this;
    const claim = await exchange.call(() =>
      this.#real.claim(queue, {
        granted: (real) => {
          const ownership = new WiredOwnership(real, exchange, this.#ports.isFrozen);
          exchange.tell(() => sink.granted(ownership));
        },
        standby: (holder) => exchange.tell(() => sink.standby(holder)),
        fenced: (reason) => exchange.tell(() => sink.fenced(reason)),
        lost: (reason) => exchange.tell(() => sink.lost(reason)),
        full: (waiting) => exchange.tell(() => sink.full(waiting)),
      }),
    );
    return { withdraw: () => exchange.callIfOpen(() => claim.withdraw()) };
  }

  async consume(queue: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    const { exchange } = this;
    const { plan, reports } = this.#ports;
    const ownership = realOwnership(options.ownership);
    const ports = { exchange, plan, queue, epoch: ownership?.epoch };
    const deliveryPorts = { ...ports, reports: reports.deliveries(queue, ownership?.epoch) };
    let isOpen = true;
    const hand = (real: Delivery, how: { isCopy: boolean }) =>
      exchange.tell(() => {
        if (isOpen) sink.delivery(new WiredDelivery(real, deliveryPorts, how));
      });
    const consumer = await exchange.call(() =>
      this.#real.consume(
        queue,
        { ...options, ownership },
        {
          delivery: (real) => {
            hand(real, { isCopy: false });
            if (plan.deliveriesToDouble.take()) hand(real, { isCopy: true });
          },
          lost: (reason) => exchange.tell(() => sink.lost(reason)),
        },
      ),
    );
    const { allow } = consumer;
    return {
      close: () => {
        isOpen = false;
        return exchange.callIfOpen(() => consumer.close());
      },
      ...(allow && {
        allow: (inHand: number) => void exchange.callIfOpen(async () => allow.call(consumer, inHand)),
      }),
    };
  }

  async *deadLetters(queue: string): AsyncIterable<DeadLetter> {
    const letters = await this.exchange.call(async () => {
      const found: DeadLetter[] = [];
      for await (const letter of this.#real.deadLetters(queue)) found.push(letter);
      return found;
    });
    yield* letters;
  }

  redrive(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.exchange.call(() => this.#real.redrive(queue, ids));
  }

  dropDeadLetters(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.exchange.call(() => this.#real.dropDeadLetters(queue, ids));
  }

  close(): Promise<void> {
    return this.exchange.close(() => this.#real.close());
  }

  /** The connection breaks, as this side sees it. */
  breakOff(reason: Error): void {
    this.exchange.cut();
    this.exchange.end(reason);
  }

  /** The broker notices that the connection is broken, or silent. */
  loseAtBroker(reason: Error): void {
    this.#real.drop(reason);
  }

  /** Of the queues of its namespace, as they are at the broker now. */
  look(): Promise<QueueStatus[]> {
    return this.#real.queues();
  }
}

function realOwnership(ownership: Ownership | undefined): Ownership | undefined {
  return ownership instanceof WiredOwnership ? ownership.real : ownership;
}
