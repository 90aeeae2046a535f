import type { FailedAttempt, LetterDetails, QueueSpec } from '../../backend.js';
import { ProtocolError } from '../../model/errors.js';
import { checkName } from '../../model/names.js';
import type { Word } from './frames.js';

/*
 * What came over a socket, taken for what it should be. Each throws a ProtocolError for anything else: the connection is
 * then ended, since nobody knows what the rest of it means.
 */

export function readNumber(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new ProtocolError('Something came where a number belongs.');
}

export function readText(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new ProtocolError('Something came where a text belongs.');
}

export function readBytes(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  throw new ProtocolError('Something came where bytes belong.');
}

export function readTexts(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.map(readText);
  throw new ProtocolError('Something came where a list belongs.');
}

/** More than a consumer can hold are not acked at once. */
const ACKED_MAX = 1_000_000;

export function readAck([, consumer, from, to]: Word): readonly [consumer: number, from: number, to: number] {
  const [first, last] = [readNumber(from), readNumber(to)];
  if (last < first || last - first > ACKED_MAX)
    throw new ProtocolError('An ack of an impossible range came.');
  return [readNumber(consumer), first, last];
}

const REASONS: readonly LetterDetails['reason'][] = [
  'attempts',
  'rejected',
  'undecodable',
  'invalid',
  'refused',
];

export function readLetter(value: unknown): LetterDetails {
  const { reason, error, attempts, history } = readRecord(value);
  const known = REASONS.find((one) => one === reason);
  if (!known) throw new ProtocolError('A dead letter came without a reason.');
  return {
    reason: known,
    error: readText(error),
    attempts: readNumber(attempts),
    history: readHistory(history),
  };
}

/** A master of an earlier version says none. */
function readHistory(value: unknown): readonly FailedAttempt[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new ProtocolError('Something came where a list belongs.');
  return value.map((failed) => {
    const { attempt, at, error } = readRecord(failed);
    return { attempt: readNumber(attempt), at: readNumber(at), error: readText(error) };
  });
}

export function readSpec(value: unknown): QueueSpec {
  const { name, ownership, limit, expiresMs, queueType } = readRecord(value);
  if (ownership !== 'exclusive' && ownership !== 'shared')
    throw new ProtocolError('A queue came without an ownership.');
  return {
    name: checkName('queue', readText(name)),
    ownership,
    limit: limit == null ? undefined : readLimit(limit),
    expiresMs: expiresMs == null ? undefined : readNumber(expiresMs),
    queueType: queueType === 'quorum' || queueType === 'classic' ? queueType : undefined,
  };
}

function readLimit(value: unknown): QueueSpec['limit'] {
  const { messages, onFull } = readRecord(value);
  if (onFull !== 'reject-publish' && onFull !== 'drop-oldest')
    throw new ProtocolError('A limit came without what happens when it is reached.');
  return { messages: readNumber(messages), onFull };
}

export function readRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new ProtocolError('Something came where a record belongs.');
}
