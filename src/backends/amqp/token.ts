import type { QueueSpec } from '../../backend.js';
import type { BegunCalls } from '../broker/call-record.js';

/**
 * The record of a durable queue. It is a message in the token queue: who is delivered it owns the queue, and whoever wants
 * to change it publishes the next one.
 */
export interface Token {
  readonly epoch: number;
  /** Of the saves within one epoch. */
  readonly sequence: number;
  readonly queueId: string;
  readonly owner: string;
  /** What the queue may be bound to: never too few. */
  readonly bindings: readonly string[];
  readonly limit: QueueSpec['limit'];
  readonly expiresMs: number | undefined;
  readonly checkpoint: Uint8Array | undefined;
  /** Of messages that came again: how many calls have begun. */
  readonly begun: BegunCalls;
  /** The owner handed over properly: only what `begun` names had begun. */
  readonly isClean: boolean;
}

const VERSION = 1;
const LENGTH_BYTES = 4;

/** Whether `one` was written after `other`. */
export function isNewer(one: Token, other: Token | undefined): boolean {
  if (!other) return true;
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.sequence > other.sequence);
}

export function encodeToken(token: Token): Buffer {
  const { checkpoint, ...record } = token;
  const text = JSON.stringify({ version: VERSION, hasCheckpoint: checkpoint !== undefined, ...record });
  const length = Buffer.byteLength(text);
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES + length + (checkpoint?.byteLength ?? 0));
  bytes.writeUInt32BE(length);
  bytes.write(text, LENGTH_BYTES);
  if (checkpoint) bytes.set(checkpoint, LENGTH_BYTES + length);
  return bytes;
}

/** Undefined for what is no token; `newer` for one of a later version of signalbox. */
export function decodeToken(bytes: Buffer): Token | 'newer' | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined;
  const end = LENGTH_BYTES + bytes.readUInt32BE();
  if (end > bytes.length) return undefined;
  let record: (Partial<Token> & { version?: unknown; hasCheckpoint?: unknown }) | null;
  try {
    record = JSON.parse(bytes.toString('utf8', LENGTH_BYTES, end)) as typeof record;
  } catch {
    return undefined;
  }
  if (!record || typeof record.version !== 'number') return undefined;
  if (record.version > VERSION) return 'newer';
  const { epoch, sequence, queueId, owner, bindings, limit, expiresMs } = record;
  const { begun, isClean, hasCheckpoint } = record;
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(sequence)) return undefined;
  if (typeof queueId !== 'string' || typeof owner !== 'string') return undefined;
  if (!Array.isArray(bindings) || !Array.isArray(begun)) return undefined;
  return {
    epoch: epoch!,
    sequence: sequence!,
    queueId,
    owner,
    bindings,
    limit,
    expiresMs,
    begun,
    isClean: isClean === true,
    checkpoint: hasCheckpoint === true ? Uint8Array.from(bytes.subarray(end)) : undefined,
  };
}
