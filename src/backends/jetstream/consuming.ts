import type { Consumer, ConsumeOptions, ConsumerSink } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { FencedError, QueueDeletedError, QueueInUseError } from '../../model/errors.js';
import type { JetStreamClaim } from './claim.js';
import type { Connection } from './connection.js';
import type { StreamConsumers } from './consumers.js';
import { inOrder, JetStreamConsumer } from './consumer.js';
import type { DurableQueues } from './durable-queues.js';
import type { Held } from './held.js';
import type { Inbox } from './inbox.js';
import type { Lease } from './lease.js';
import type { Letters } from './letters.js';
import type { Names } from './names.js';
import { JetStreamOwnership } from './ownership.js';
import { SharedIntake } from './shared-intake.js';

export interface ConsumingPorts {
  readonly connection: Connection;
  readonly inbox: Inbox;
  readonly environment: Environment;
  readonly names: Names;
  readonly queues: DurableQueues;
  readonly events: StreamConsumers;
  readonly letterConsumers: StreamConsumers;
  readonly letters: Letters;
  readonly ownerTimeoutMs: number;
  /** The last sequence of the stream. */
  readonly lastSequence: () => Promise<number>;
  readonly isLive: () => boolean;
  readonly claimOf: (ownership: JetStreamOwnership) => JetStreamClaim | undefined;
  /** The stream may be gone. */
  readonly suspect: () => void;
}

interface Sharing {
  readonly consumer: JetStreamConsumer;
  readonly intake: SharedIntake;
  readonly queueId: string;
}

/** The consumers of one session. */
export class Consuming {
  readonly #ports: ConsumingPorts;
  readonly #consumers = new Set<JetStreamConsumer>();
  readonly #sharing = new Map<JetStreamConsumer, Sharing>();

  constructor(ports: ConsumingPorts) {
    this.#ports = ports;
  }

  /** Those that are consumed here. */
  get queues(): ReadonlySet<string> {
    return new Set([...this.#consumers].map(({ queue }) => queue));
  }

  of(ownership: JetStreamOwnership): JetStreamConsumer | undefined {
    return [...this.#consumers].find((consumer) => consumer.ownership === ownership);
  }

  async consume(queue: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    const { ownership, prefetch } = options;
    const { lease } = await this.#ports.queues.get(queue);
    if (!this.#ports.isLive()) throw this.#ports.connection.lostError();
    const told = this.#silentAtTheEnd(sink);
    if (lease.ownership === 'shared') return this.#share(queue, prefetch, lease, told);
    const owner = ownership instanceof JetStreamOwnership ? ownership : undefined;
    const intake = owner?.intake?.intake;
    if (owner?.queue !== queue || !intake || !owner.isHeld || owner.epoch !== lease.epoch)
      throw new FencedError(`Queue "${queue}" is exclusive, and this is not the ownership that it has now.`);
    if ([...this.#consumers].some((one) => one.ownership === owner))
      throw new QueueInUseError(`Queue "${queue}" is exclusive, and its owner consumes it already.`);
    const consumer = new JetStreamConsumer(queue, owner, prefetch, told, {
      ...this.#ports,
      prefix: this.#ports.names.eventPrefix,
      intake,
      uncertain: 0,
      ended: (one) => this.#consumers.delete(one),
    });
    this.#consumers.add(consumer);
    try {
      // What is acked while it has lapsed would be lost on the way.
      if (!owner.valid()) await owner.revalidate();
      await this.#ports.claimOf(owner)?.redriven();
      await intake.attach(consumer);
    } catch (thrown) {
      await consumer.close();
      throw thrown;
    }
    return consumer;
  }

  /** Bindings have changed, or the queue is gone. */
  async look(queue?: string): Promise<void> {
    for (const { consumer, intake, queueId } of [...this.#sharing.values()]) {
      if (queue !== undefined && consumer.queue !== queue) continue;
      const found = await this.#ports.queues.find(consumer.queue);
      if (found?.lease.queueId === queueId) intake.follow(found.lease);
      else
        consumer.lost(new QueueDeletedError(`Queue "${consumer.queue}" was deleted; what it held is gone.`));
    }
  }

  /** Letters were put back. */
  redriven(queue: string): void {
    for (const { consumer, intake } of this.#sharing.values())
      if (consumer.queue === queue) intake.openAgain(this.#ports.names.sharedAgain(queue));
  }

  /** What they hold of one queue goes back in one order, whoever of them had it. */
  async close(): Promise<void> {
    const owners = [...this.#consumers].filter(({ ownership }) => ownership);
    const shared = [...this.#sharing.values()].filter(({ consumer }) => consumer.isOpen);
    for (const { intake } of shared) intake.stop();
    const letGo = await Promise.all(shared.map(({ consumer }) => consumer.letGo()));
    const byQueue = new Map<string, Held[]>();
    for (const [at, held] of letGo.entries()) {
      const { queue } = shared[at]!.consumer;
      byQueue.set(queue, [...(byQueue.get(queue) ?? []), ...held]);
    }
    for (const held of byQueue.values()) for (const one of inOrder(held)) one.source.nak(one);
    await Promise.all([
      ...shared.map(({ consumer }) => consumer.processed()),
      ...owners.map((consumer) => consumer.close()),
    ]);
    for (const { consumer } of shared) this.#forget(consumer);
  }

  /** The session has gone. */
  end(): void {
    for (const consumer of [...this.#consumers]) consumer.end();
  }

  async #share(queue: string, prefetch: number, found: Lease, sink: ConsumerSink): Promise<Consumer> {
    const { names, letterConsumers, ownerTimeoutMs, queues } = this.#ports;
    const { connection, lastSequence } = this.#ports;
    const isSameServer = found.server === undefined || found.server === connection.serverId;
    const uncertain = isSameServer ? found.uncertain : await lastSequence();
    const shared = new SharedIntake({
      ...this.#ports,
      letters: letterConsumers,
      ackWaitMs: ownerTimeoutMs,
      missing: () => {
        this.#ports.suspect();
        void this.look(queue).catch(() => {});
      },
    });
    const consumer = new JetStreamConsumer(queue, undefined, prefetch, sink, {
      ...this.#ports,
      prefix: names.eventPrefix,
      intake: shared.intake,
      uncertain,
      ended: (one) => this.#forget(one),
    });
    this.#consumers.add(consumer);
    // Read again, now that an announcement would be heard.
    const { lease } = await queues.get(queue);
    this.#sharing.set(consumer, { consumer, intake: shared, queueId: lease.queueId });
    await shared.intake.attach(consumer);
    shared.follow(lease);
    if (await letterConsumers.info(names.sharedAgain(queue))) shared.openAgain(names.sharedAgain(queue));
    return consumer;
  }

  #forget(consumer: JetStreamConsumer): void {
    this.#consumers.delete(consumer);
    this.#sharing.get(consumer)?.intake.stop();
    this.#sharing.delete(consumer);
  }

  #silentAtTheEnd(sink: ConsumerSink): ConsumerSink {
    const { isLive } = this.#ports;
    return {
      delivery: (delivery) => {
        if (isLive()) sink.delivery(delivery);
      },
      lost: (reason) => {
        if (isLive()) sink.lost(reason);
      },
    };
  }
}
