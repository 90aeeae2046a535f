import type { Consumer, ConsumeOptions, ConsumerSink } from '../../backend.js';
import { FencedError, QueueInUseError, SessionLostError } from '../../model/errors.js';
import { queueError } from './broker-errors.js';
import type { AmqpClaim } from './claim.js';
import { AmqpConsumer } from './consumer.js';
import { AmqpOwnership } from './ownership.js';
import type { SessionParts } from './session.js';
import { WorkChannel } from './work-channel.js';

type Parts = Pick<
  SessionParts,
  'consuming' | 'queues' | 'letters' | 'names' | 'options' | 'known' | 'consumerTimeoutMs'
>;

export interface ConsumingPorts extends Parts {
  readonly isLive: () => boolean;
  /** Resolves when what other masters know of queues is known here. */
  readonly ask: () => Promise<void>;
  readonly claimOf: (ownership: AmqpOwnership) => AmqpClaim | undefined;
}

/** The consumers of one session. */
export class Consuming {
  readonly #ports: ConsumingPorts;
  readonly #consumers = new Set<AmqpConsumer>();
  readonly #shared = new Map<string, WorkChannel>();

  constructor(ports: ConsumingPorts) {
    this.#ports = ports;
  }

  /** Those that are consumed here. */
  get queues(): ReadonlySet<string> {
    return new Set([...this.#consumers].map(({ queue }) => queue));
  }

  of(ownership: AmqpOwnership): AmqpConsumer | undefined {
    return [...this.#consumers].find((consumer) => consumer.ownership === ownership);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
  }

  async consume(name: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    const { consuming, queues, letters, names, options: session, consumerTimeoutMs } = this.#ports;
    const ownership = options.ownership instanceof AmqpOwnership ? options.ownership : undefined;
    const isExclusive = ownership !== undefined || (await this.#isExclusive(name));
    if (!this.#ports.isLive()) throw consuming.lostError();
    if (isExclusive) {
      const owns = ownership?.queue === name && ownership.valid();
      if (!owns) {
        await queues.check(name);
        throw new FencedError(`Queue "${name}" is exclusive, and this is not the ownership that it has now.`);
      }
      if ([...this.#consumers].some((consumer) => consumer.ownership === ownership))
        throw new QueueInUseError(`Queue "${name}" is exclusive, and its owner consumes it already.`);
    } else await queues.check(name);
    const consumer = new AmqpConsumer(
      name,
      isExclusive ? ownership : undefined,
      options.prefetch,
      {
        delivery: (delivery) => {
          if (this.#ports.isLive()) sink.delivery(delivery);
        },
        lost: (reason) => this.#lost(consumer, sink, reason),
      },
      {
        channel: isExclusive ? new WorkChannel(consuming, name, names.work(name)) : this.#sharedChannel(name),
        environment: session.environment,
        letters,
        consumerTimeoutMs,
        ended: (one) => this.#consumers.delete(one),
      },
    );
    this.#consumers.add(consumer);
    try {
      await consumer.open();
    } catch (thrown) {
      await consumer.close();
      throw queueError(thrown, name);
    }
    return consumer;
  }

  #lost(consumer: AmqpConsumer, sink: ConsumerSink, reason: Error): void {
    if (!this.#ports.isLive() || !this.#ports.consuming.isOpen) return;
    const { ownership } = consumer;
    const claim = ownership && this.#ports.claimOf(ownership);
    if (claim && !(reason instanceof SessionLostError)) claim.lost(reason);
    else sink.lost(reason);
  }

  /** All that consume a shared queue over this session share one. */
  #sharedChannel(name: string): WorkChannel {
    for (const [queue, channel] of this.#shared) if (!channel.isUsed) this.#shared.delete(queue);
    const { consuming, names } = this.#ports;
    const channel = this.#shared.get(name) ?? new WorkChannel(consuming, name, names.work(name));
    this.#shared.set(name, channel);
    return channel;
  }

  async #isExclusive(name: string): Promise<boolean> {
    const { known } = this.#ports;
    const isToldOf = () => known.ownership(name) !== undefined;
    if (!isToldOf()) {
      await this.#ports.queues.check(name);
      await this.#ports.ask();
    }
    // Of one that nobody knows the stricter is right: whoever declares it knows.
    return known.ownership(name) !== 'shared';
  }
}
