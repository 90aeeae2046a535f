import type {
  Claim,
  Consumer,
  ConsumeOptions,
  Ownership,
  QueueSpec,
  QueueStatus,
  Session,
  TransientQueue,
} from '../../backend.js';
import type { Envelope } from '../../model/message.js';
import type { Lab } from './lab.js';
import { ClaimRecord, ConsumerRecord, TransientRecord, type SessionRecord } from './records.js';

/** A transient queue and what it received. */
export interface Ear {
  readonly queue: TransientQueue;
  readonly sink: TransientRecord;
}

/** A claim and what it was told. */
export interface Stand {
  readonly claim: Claim;
  readonly told: ClaimRecord;
}

export interface Owner extends Stand {
  readonly ownership: Ownership;
}

/** A consumer and what it received. */
export interface Work {
  readonly consumer: Consumer;
  readonly sink: ConsumerRecord;
}

/** A connected master of the lab, and what cases do with it again and again. */
export class Member {
  constructor(
    readonly lab: Lab,
    readonly master: string,
    readonly session: Session,
    readonly told: SessionRecord,
    /** As if its process had died: the broker sees a broken connection. Resolves when the session has ended. */
    readonly crash: () => Promise<void>,
  ) {}

  async publish(topic: string, data?: unknown, overrides?: Partial<Envelope>): Promise<void> {
    const envelope = this.lab.envelope(topic, data, overrides);
    const refusals = await this.session.publish(envelope);
    const error = refusals?.get(envelope);
    if (error) throw error;
  }

  /** One message for each item, without waiting between them. */
  async publishAll(topic: string, data: readonly unknown[]): Promise<void> {
    await Promise.all(data.map((item) => this.publish(topic, item)));
  }

  async listen(patterns: readonly string[], sink = new TransientRecord()): Promise<Ear> {
    const queue = await this.session.listen(sink);
    for (const pattern of patterns) await queue.bind(pattern);
    return { queue, sink };
  }

  /** Declares a queue, exclusive if nothing else is said. */
  declare(name: string, settings: Partial<QueueSpec> = {}): Promise<void> {
    return this.session.declareQueue(specOf(name, settings));
  }

  async status(queue: string): Promise<QueueStatus | undefined> {
    return (await this.session.queues()).find(({ name }) => name === queue);
  }

  async stand(queue: string, told = new ClaimRecord()): Promise<Stand> {
    return { claim: await this.session.claim(queue, told), told };
  }

  /** Waits for the ownership; binds if patterns are given. */
  async own(queue: string, patterns?: readonly string[]): Promise<Owner> {
    const { claim, told } = await this.stand(queue);
    const ownership = await this.granted(told);
    if (patterns) await ownership.bind(patterns);
    return { claim, told, ownership };
  }

  async granted(told: ClaimRecord): Promise<Ownership> {
    await this.lab.eventually(() => told.has('granted'), `${this.master} is granted the queue`);
    return told.ownership!;
  }

  async consume(
    queue: string,
    options: Partial<ConsumeOptions> = {},
    sink = new ConsumerRecord(),
  ): Promise<Work> {
    const { prefetch = 100, ownership } = options;
    return { consumer: await this.session.consume(queue, { prefetch, ownership }, sink), sink };
  }

  /** Owns an exclusive queue and consumes it. */
  async work(
    queue: string,
    options: { patterns?: readonly string[]; prefetch?: number; sink?: ConsumerRecord } = {},
  ): Promise<Owner & Work> {
    const { patterns, prefetch = 100, sink } = options;
    const owner = await this.own(queue, patterns);
    return { ...owner, ...(await this.consume(queue, { prefetch, ownership: owner.ownership }, sink)) };
  }

  /** A declared, bound shared queue; whoever likes may consume it. The keeper's claim is this member's. */
  async share(queue: string, patterns: readonly string[]): Promise<Owner> {
    await this.declare(queue, { ownership: 'shared' });
    return this.own(queue, patterns);
  }

  /** A proper stop: the consumer first, then the ownership. */
  async handOver({ consumer, ownership }: Work & Owner): Promise<void> {
    await consumer.close();
    await ownership.release();
  }
}

export function specOf(name: string, settings: Partial<QueueSpec> = {}): QueueSpec {
  return {
    name,
    ownership: 'exclusive',
    limit: undefined,
    expiresMs: undefined,
    queueType: undefined,
    ...settings,
  };
}
