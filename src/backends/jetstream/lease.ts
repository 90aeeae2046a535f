import type { Holder, QueueSpec } from '../../backend.js';
import type { BegunCalls } from '../broker/call-record.js';

/**
 * A stretch of the stream that the queue takes its messages from: what `patterns` match behind sequence `after`, up to `until` if
 * bindings have changed since. Each has a consumer of its own at the server.
 */
export interface Segment {
  readonly consumer: string;
  readonly patterns: readonly string[];
  readonly after: number;
  readonly until: number | undefined;
}

/** The record of a durable queue: who owns it, and by which consumers it is filtered. */
export interface Lease {
  readonly queueId: string;
  readonly ownership: QueueSpec['ownership'];
  readonly expiresMs: number | undefined;
  /** The name of the owner; undefined: it is free. */
  readonly owner: string | undefined;
  readonly session: string | undefined;
  readonly incarnation: string | undefined;
  /** The owner's own bound: silent for so long, it is taken for frozen. */
  readonly ownerTimeoutMs: number;
  readonly epoch: number;
  /** The owner has put its bindings in place. */
  readonly isBound: boolean;
  readonly segments: readonly Segment[];
  /** The consumer of letters that were put back, if there ever were any. */
  readonly again: string | undefined;
  readonly begun: BegunCalls;
  /** The highest sequence that any former owner was given, and any that did not hand over properly. */
  readonly delivered: number;
  readonly unclean: number;
  /** Consumers of former owners that these two do not know of yet: they stay until then. */
  readonly formers: readonly string[];
  /** The owner handed over properly: only what `begun` names had begun. */
  readonly isClean: boolean;
  /** Sequences that were settled beyond the first message that is not. */
  readonly settled: readonly number[];
  /** The start of the server at which it was last taken over; undefined before that. */
  readonly server: string | undefined;
  /**
   * A server that is killed forgets what it has delivered and what was acked last: up to this sequence nobody knows what was
   * handed over before.
   */
  readonly uncertain: number;
}

const VERSION = 1;

export function encodeLease(lease: Lease): string {
  return JSON.stringify({ version: VERSION, ...lease });
}

/** Undefined for what is no lease; `newer` for one of a later version of signalbox. */
export function decodeLease(body: Uint8Array): Lease | 'newer' | undefined {
  let read: unknown;
  try {
    read = JSON.parse(Buffer.from(body).toString());
  } catch {
    return undefined;
  }
  if (typeof read !== 'object' || read === null) return undefined;
  const { version, ...rest } = read as { version?: unknown } & Partial<Lease>;
  if (typeof version !== 'number') return undefined;
  if (version > VERSION) return 'newer';
  const { queueId, ownership, epoch, segments, begun, settled } = rest;
  if (typeof queueId !== 'string' || !Number.isSafeInteger(epoch)) return undefined;
  if (ownership !== 'exclusive' && ownership !== 'shared') return undefined;
  if (![segments, begun, settled].every(Array.isArray)) return undefined;
  return {
    queueId,
    ownership,
    expiresMs: rest.expiresMs,
    owner: rest.owner,
    session: rest.session,
    incarnation: rest.incarnation,
    ownerTimeoutMs: rest.ownerTimeoutMs ?? 0,
    epoch: epoch!,
    isBound: rest.isBound === true,
    segments: segments!,
    again: rest.again,
    begun: begun!,
    delivered: rest.delivered ?? 0,
    unclean: rest.unclean ?? 0,
    formers: rest.formers ?? [],
    isClean: rest.isClean === true,
    settled: settled!,
    server: rest.server,
    uncertain: rest.uncertain ?? 0,
  };
}

/** What the queue is bound to now. */
export function patternsOf({ segments }: Pick<Lease, 'segments'>): readonly string[] {
  const last = segments.at(-1);
  return last && last.until === undefined ? last.patterns : [];
}

export function holderOf({ owner, epoch, queueId }: Lease): Holder {
  return { owner: owner ?? '', epoch, queueId };
}

/** All its consumers at the stream of messages. */
export function consumersOf({ segments }: Pick<Lease, 'segments'>): string[] {
  return segments.map(({ consumer }) => consumer);
}
