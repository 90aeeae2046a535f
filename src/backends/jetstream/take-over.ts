import type { Environment } from '../../model/clock.js';
import { CheckpointRecord } from './checkpoint.js';
import type { StreamConsumers } from './consumers.js';
import { filterOf } from './filters.js';
import { consumersOf, encodeLease, type Lease, type Segment } from './lease.js';
import type { Names } from './names.js';
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
  /** Of the stream of messages. */
  readonly lastSequence: () => Promise<number>;
  /** Whether letters were put back that nobody has settled. */
  readonly hasAgain: () => Promise<boolean>;
}

export interface Taken {
  readonly lease: Lease;
  readonly revision: number;
  /** What former owners were given, to be kept with the lease; their consumers may go then. */
  readonly marks: Marks | undefined;
  readonly checkpoint: CheckpointRecord;
}

export interface Marks extends Pick<Lease, 'delivered' | 'unclean'> {
  /** Consumers of this queue that its lease will not name. */
  readonly obsolete: readonly string[];
  readonly obsoleteAgain: readonly string[];
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
      formers: isExclusive ? [...new Set([...found.formers, ...consumersOf(found)])] : [],
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
    const marks = isExclusive ? await marksOf(found, lease, ports) : undefined;
    await Promise.all(kept);
    return { lease, revision, marks, checkpoint };
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

/**
 * What former owners were delivered by now is the most that they can have handed over. Every consumer of the queue that the lease
 * does not name is a former owner's, or was made by somebody who got no further: it would hold messages back for ever.
 */
async function marksOf(found: Lease, lease: Lease, ports: TakeOverPorts): Promise<Marks> {
  const { events, letters, names, queue, lastSequence } = ports;
  const [infos, atEvents, atLetters] = await Promise.all([
    Promise.all(lease.formers.map((consumer) => events.info(consumer))),
    events.names(),
    letters.names(),
  ]);
  const highest = infos.map((info) => info?.delivered.stream_seq ?? 0);
  // One that nobody finds any more was deleted by somebody else: all may have been handed over.
  if (infos.includes(undefined)) highest.push(await lastSequence());
  const delivered = Math.max(found.delivered, lease.uncertain, ...highest);
  const named = consumersOf(lease);
  // Of what a killed server has forgotten a clean hand-over says nothing.
  const isClean = found.isClean && found.uncertain === lease.uncertain;
  return {
    delivered,
    unclean: isClean ? found.unclean : delivered,
    obsolete: atEvents.filter((name) => names.isOf(name, queue) && !named.includes(name)),
    obsoleteAgain: atLetters.filter((name) => names.isOf(name, queue) && name !== lease.again),
  };
}

/** Once the marks are kept with the lease. */
export async function retire(
  marks: Marks,
  { events, letters }: Pick<TakeOverPorts, 'events' | 'letters'>,
): Promise<void> {
  await Promise.all([
    ...marks.obsolete.map((name) => events.delete(name)),
    ...marks.obsoleteAgain.map((name) => letters.delete(name)),
  ]);
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
