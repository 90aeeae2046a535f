import { readdirSync } from 'node:fs';
import {
  createMaster,
  type ConsumerHandle,
  type DeliveryContext,
  type Master,
  type Message,
} from '../../src/index.js';
import { amqpBackend } from '../../src/backends/amqp/index.js';
import { fileBackend } from '../../src/backends/file/index.js';
import { findBackend } from '../../src/master/broker.js';
import type { ConsumerStatus } from '../../actors/consumer.js';
import { churn, type ChurnOutcome, type ChurnPlan } from './churn.js';
import { EvidenceWriter } from './evidence.js';
import { FaultPoints, type DeadlyStep } from './fault-points.js';
import { Publisher, type LabData, type PublishOutcome, type PublishPlan } from './publisher.js';
import { scheduling } from './scheduling.js';

/*
 * One master in a process of its own, told what to do by the laboratory. It testifies to what happens before anything
 * depends on it, and is meant to be killed.
 */

export interface CreatePlan {
  readonly name: string;
  readonly broker: string | readonly string[];
  readonly namespace?: string;
  readonly ownerTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  readonly drainTimeoutMs?: number;
  readonly publishTimeoutMs?: number;
  readonly publishWindow?: number;
  readonly spool?: string;
  readonly ifHubFrozen?: 'report' | 'restart';
  /** Of `file:`: another program than the one that is delivered. */
  readonly hubProgram?: string;
  /** Of RabbitMQ: what its node was told. */
  readonly consumerTimeoutMs?: number;
  /** Of NATS: copies that its servers keep. */
  readonly replicas?: 3;
  /** It can be told at which step of a scheduler it is killed. */
  readonly hasFaultPoints?: boolean;
}

export interface ConsumePlan {
  readonly queue: string;
  readonly bindings: readonly string[];
  readonly ownership?: 'exclusive' | 'shared';
  readonly prefetch?: number;
  readonly concurrency?: number;
  /** How long a call takes; 0 is a synchronous handler. */
  readonly handlerMs?: number;
  /** Each call publishes there under the owner's fence, at its end. */
  readonly effects?: string;
  /** What a call does when its signal aborts: nothing, end as if its time had come, or throw. */
  readonly whenAborted?: 'ignore' | 'end' | 'throw';
  readonly attemptsMax?: number;
  readonly ifDeleted?: 'lost' | 'recreate';
  readonly queueType?: 'quorum' | 'classic';
  readonly limit?: { readonly messages: number; readonly onFull: 'reject-publish' | 'drop-oldest' };
  /** The message of that number kills the process that handles it. */
  readonly deadlySequence?: number;
  /** Leaves out what only some tests look at. */
  readonly terse?: boolean;
}

let evidence = new EvidenceWriter(process.argv[2]!);
let master: Master;
const faultPoints = new FaultPoints();
const consumers = new Map<string, ConsumerHandle>();
const publishers = new Map<string, Publisher>();

const commands = {
  async create(plan: CreatePlan): Promise<number> {
    const { broker, hubProgram, consumerTimeoutMs, hasFaultPoints = false, ...options } = plan;
    const plainBackend =
      hubProgram !== undefined
        ? fileBackend(String(broker).slice('file:'.length), { hubProgram })
        : consumerTimeoutMs !== undefined
          ? amqpBackend(broker, { consumerTimeoutMs })
          : broker;
    const found = () => findBackend(plainBackend, { ifHubFrozen: 'report', tls: undefined });
    const backend = hasFaultPoints ? faultPoints.at(found()) : plainBackend;
    master = await createMaster({ ...options, broker: backend });
    for (const event of [
      'session',
      'owner',
      'gap',
      'failure',
      'dead-letter',
      'lost',
      'restart',
      'spool',
      'warning',
    ] as const)
      master.on(event, (detail) =>
        evidence.write({ type: 'said', master: master.name, event, detail: plain(detail) }),
      );
    return process.pid;
  },

  async consume(plan: ConsumePlan): Promise<ConsumerStatus> {
    const { queue, bindings, ownership = 'exclusive', prefetch, concurrency, attemptsMax } = plan;
    const { ifDeleted, queueType, limit } = plan;
    const options = {
      bindings,
      ownership,
      ...(prefetch && { prefetch }),
      ...(concurrency && { concurrency }),
      ...(attemptsMax && { retry: { attemptsMax } }),
      ...(ifDeleted && { ifDeleted }),
      ...(queueType && { queueType }),
      ...(limit && { limit }),
    };
    const handle = await master.consume(queue, options, handlerOf(plan));
    consumers.set(queue, handle);
    return handle.status;
  },

  async until({
    queue,
    status,
    timeoutMs = 10_000,
  }: {
    queue: string;
    status: ConsumerStatus;
    timeoutMs?: number;
  }) {
    await consumers.get(queue)!.until(status, { timeoutMs });
  },

  async status({ queue }: { queue: string }): Promise<ConsumerStatus> {
    return consumers.get(queue)!.status;
  },

  async stopConsumer({ queue }: { queue: string }): Promise<void> {
    await consumers.get(queue)!.stop();
    consumers.delete(queue);
  },

  /** Testifies to each fenced effect that it hears, in the order of its hearing. */
  async observe({ pattern }: { pattern: string }): Promise<void> {
    await master.subscribe(pattern, { mailbox: { limit: 100_000 } }, ({ data }) => {
      const { queue, epoch, by } = data as { queue: string; epoch: number; by: string };
      evidence.write({ type: 'effect', queue, epoch, master: by, observer: master.name });
    });
  },

  /** Resolves when every publish has ended; `start` leaves it running. */
  async publish(plan: PublishPlan): Promise<PublishOutcome> {
    await commands.start(plan);
    return publishers.get(plan.producer)!.ended;
  },

  async start(plan: PublishPlan): Promise<void> {
    publishers.set(plan.producer, new Publisher(master, evidence, plan));
  },

  async stopPublishing({ producer }: { producer: string }): Promise<PublishOutcome> {
    return publishers.get(producer)!.stop();
  },

  ...scheduling(
    () => master,
    consumers,
    () => evidence,
  ),

  /** Of a master with fault points. */
  async dieAt(deadly: DeadlyStep): Promise<void> {
    faultPoints.dieAt(deadly);
  },

  async queues() {
    return master.queues();
  },

  /** Subscribes and stops at random. */
  async churn(plan: ChurnPlan): Promise<ChurnOutcome> {
    return churn(master, plan);
  },

  async report() {
    const openFiles = readdirSync('/proc/self/fd').length;
    return { status: master.status, rss: process.memoryUsage().rss, openFiles };
  },

  async testifyTo({ path }: { path: string }): Promise<void> {
    const former = evidence;
    evidence = new EvidenceWriter(path);
    former.close();
  },

  /** A proper end. */
  async stop(): Promise<void> {
    await master.stop();
  },
};

export type Commands = typeof commands;

function handlerOf(plan: ConsumePlan): (message: Message, delivery: DeliveryContext) => unknown {
  const { queue, handlerMs = 0, effects, whenAborted = 'ignore', terse = false, deadlySequence } = plan;
  const testify = (
    type: 'begun' | 'handled',
    { id, topic, data }: Message,
    delivery: DeliveryContext,
  ): void => {
    const { epoch, attempt, redelivered } = delivery;
    const common = { queue, id, master: master.name, epoch, attempt, redelivered };
    if (type === 'handled') evidence.write({ type, ...common, resent: false });
    else evidence.write({ type, ...common, topic, sequence: (data as LabData).sequence });
    if ((data as LabData).sequence === deadlySequence) process.kill(process.pid, 'SIGKILL');
  };
  if (handlerMs === 0 && effects === undefined)
    return (message, delivery) => {
      if (!terse) testify('begun', message, delivery);
      testify('handled', message, delivery);
    };
  return async (message, delivery) => {
    const { signal, epoch } = delivery;
    testify('begun', message, delivery);
    const told = new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => {
        evidence.write({ type: 'aborted', queue, id: message.id, master: master.name, epoch });
        if (whenAborted !== 'ignore') resolve();
      }),
    );
    await Promise.race([new Promise((resolve) => setTimeout(resolve, handlerMs)), told]);
    if (whenAborted === 'throw') signal.throwIfAborted();
    if (effects !== undefined)
      try {
        await delivery.publish(effects, { queue, epoch, by: master.name });
      } catch (error) {
        const { code = 'unknown' } = error as { code?: string };
        evidence.write({ type: 'refused', queue, id: message.id, master: master.name, epoch, code });
        throw error;
      }
    testify('handled', message, delivery);
  };
}

/** What an event says, as far as JSON can. */
function plain(detail: object): Record<string, unknown> {
  const entries = Object.entries(detail).map(([key, value]: [string, unknown]) => {
    if (value instanceof Error) return [key, `${value.name}: ${value.message}`];
    return [key, typeof value === 'object' ? undefined : value];
  });
  return Object.fromEntries(entries) as Record<string, unknown>;
}

interface Order {
  readonly number: number;
  readonly command: keyof Commands;
  readonly args: never;
}

process.on('message', ({ number, command, args }: Order) => {
  const carriedOut: Promise<unknown> = commands[command](args);
  carriedOut.then(
    (result) => process.send!({ number, result }),
    (thrown: unknown) => {
      const { code, message } = thrown as Error & { code?: string };
      process.send!({ number, error: { code, text: message } });
    },
  );
});
// Without its laboratory it has nothing to live for.
process.on('disconnect', () => process.exit(3));
process.on('unhandledRejection', (reason) => {
  evidence.write({
    type: 'said',
    master: master?.name ?? '',
    event: 'unhandled',
    detail: { reason: reason instanceof Error ? (reason.stack ?? reason.message) : String(reason) },
  });
  process.exit(4);
});
process.send!({ ready: true });
