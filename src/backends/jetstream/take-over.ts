import type { ConsumerInfo } from '@nats-io/jetstream';
import type { Environment } from '../../model/clock.js';
import { CheckpointRecord } from './checkpoint.js';
import type { StreamConsumers } from './consumers.js';
import { filterOf } from './filters.js';
import { encodeLease, type Lease, type Segment } from './lease.js';
import type { Names } from './names.js';
import type { Bounds } from './ownership.js';
import type { Found, Records } from './records.js';

export interface TakeOverPorts {
  readonly queue: string;
  readonly records: Records;
  readonly events: StreamConsumers;
  readonly letters: StreamConsumers;
  readonly names: Names;
  readonly environment: Environment;
  readonly several: boolean;
  readonly maxPayload: number;
  readonly master: string;
  readonly session: string;
  readonly incarnation: string;
  readonly ownerTimeoutMs: number;
  /** The start of the server that this session is connected to. */
  readonly server: string;
  /** The last sequence of the stream. */
  readonly lastSequence: () => Promise<number>;
  /** Whether letters were put back that nobody has settled. */
  readonly hasAgain: () => Promise<boolean>;
}

export interface Taken {
  readonly lease: Lease;
  readonly revision: number;
  readonly bounds: Bounds;
  readonly checkpoint: CheckpointRecord;
}

/**
 * Takes a queue over. The new consumers are made before the lease names them, and the lease is what decides: a slow challenger's
 * consumers are nobody's, and are deleted. Rejects with a FencedError if somebody else was faster.
 */
export async function takeOver(found: Lease, at: Found, ports: TakeOverPorts): Promise<Taken> {
  const { queue, records, events, letters, names, environment } = ports;
  const isExclusive = found.ownership === 'exclusive';
  const made: { readonly consumers: StreamConsumers; readonly name: string }[] = [];
  try {
    const segments = isExclusive
      ? await Promise.all(found.segments.map((one) => successor(one, made, ports)))
      : found.segments;
    const again = isExclusive ? await successorAgain(found.again, made, ports) : undefined;
    const isSameServer = found.server === undefined || found.server === ports.server;
    const uncertain = isSameServer ? found.uncertain : await ports.lastSequence();
    const lease: Lease = {
      ...found,
      server: ports.server,
      uncertain,
      owner: ports.master,
      session: ports.session,
      incarnation: ports.incarnation,
      ownerTimeoutMs: ports.ownerTimeoutMs,
      epoch: found.epoch + 1,
      isBound: false,
      segments,
      again,
      isClean: false,
    };
    const revision = await records.put(names.lease(queue), encodeLease(lease), at.revision);
    made.length = 0;
    // Until they are kept they expire: nobody is granted a queue whose consumers might.
    const kept = [
      ...(isExclusive ? segments.map(({ consumer }) => keep(events, consumer, environment)) : []),
      ...(again === undefined ? [] : [keep(letters, again, environment)]),
    ];
    const checkpoint = await CheckpointRecord.take({
      records,
      subject: names.checkpoint(queue),
      queueId: lease.queueId,
      epoch: lease.epoch,
      maxBytes: ports.maxPayload,
    });
    const told = isExclusive ? await retireFormer(found, ports) : { events: 0, again: 0 };
    const bounds = { ...told, events: Math.max(told.events, uncertain) };
    await Promise.all(kept);
    return { lease, revision, bounds, checkpoint };
  } finally {
    for (const { consumers, name } of made) void consumers.delete(name).catch(() => {});
  }
}

/** A consumer that begins where the former one has all behind it acked. */
async function successor(
  segment: Segment,
  made: { consumers: StreamConsumers; name: string }[],
  { events, names, environment, queue, several }: TakeOverPorts,
): Promise<Segment> {
  const former = await events.info(segment.consumer);
  const start = Math.max(segment.after, former?.ack_floor.stream_seq ?? 0) + 1;
  const filter = filterOf(segment.patterns, { prefix: names.eventPrefix, several })!;
  const name = names.consumer(queue, environment.randomId());
  made.push({ consumers: events, name });
  await events.create({ name, subjects: filter.subjects, start, ackWaitMs: undefined });
  // The floor of a consumer is 0 until its first ack: whoever comes after one that dies before must not begin with the queue.
  return { ...segment, after: start - 1, consumer: name };
}

async function successorAgain(
  former: string | undefined,
  made: { consumers: StreamConsumers; name: string }[],
  { letters, names, environment, queue, hasAgain }: TakeOverPorts,
): Promise<string | undefined> {
  if (!(await hasAgain())) return undefined;
  const info = former === undefined ? undefined : await letters.info(former);
  const start = (info?.ack_floor.stream_seq ?? 0) + 1;
  const name = names.consumer(queue, environment.randomId());
  made.push({ consumers: letters, name });
  await letters.create({ name, subjects: [names.again(queue)], start, ackWaitMs: undefined });
  return name;
}

/** What the former owner was delivered by now is the most that it can have handed over: its consumers go. */
async function retireFormer(found: Lease, { events, letters }: TakeOverPorts): Promise<Bounds> {
  const formers = await Promise.all(found.segments.map(({ consumer }) => events.info(consumer)));
  const again = found.again === undefined ? undefined : await letters.info(found.again);
  for (const { consumer } of found.segments) void events.delete(consumer).catch(() => {});
  if (found.again !== undefined) void letters.delete(found.again).catch(() => {});
  const highest = (info: ConsumerInfo | undefined) => info?.delivered.stream_seq ?? 0;
  // One that nobody finds any more was deleted by somebody else: all may have been handed over.
  const isLost = found.segments.some((_, index) => !formers[index]);
  const bound = Math.max(0, ...formers.map((info) => highest(info)));
  return { events: isLost ? Infinity : bound, again: highest(again) };
}

const KEEP_AGAIN_MS = 5_000;

/** The lease names it: it must not expire. If that cannot be said now it is said again, long before it would. */
async function keep(
  consumers: StreamConsumers,
  name: string,
  environment: Environment,
  tries = 20,
): Promise<void> {
  try {
    await consumers.keep(name);
  } catch {
    if (tries > 0)
      environment.clock.setTimeout(() => void keep(consumers, name, environment, tries - 1), KEEP_AGAIN_MS);
  }
}
