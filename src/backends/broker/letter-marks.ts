import type { FailedAttempt, LetterDetails } from '../../backend.js';

/** All marks of a message go into one frame of the broker, with its other headers. */
const HISTORY_MAX_BYTES = 16_384;
const ERROR_MAX_LENGTH = 4_000;
const REASONS: readonly LetterDetails['reason'][] = [
  'attempts',
  'rejected',
  'undecodable',
  'invalid',
  'refused',
];

/** Why a message became a dead letter, as marks. Of a history that is too long for a header the latest attempts are kept. */
export function marksOf({ reason, error, attempts, history }: LetterDetails): Record<string, string> {
  return {
    reason,
    error: error.slice(0, ERROR_MAX_LENGTH),
    attempts: String(attempts),
    history: packHistory(history),
  };
}

/** Never throws: what stands there may be foreign. */
export function detailsOf(told: (name: string) => string | undefined): LetterDetails {
  const reason = REASONS.find((known) => known === told('reason'));
  return {
    // What the broker itself has put there came too often.
    reason: reason ?? 'attempts',
    error: told('error') ?? 'The broker has dead-lettered it.',
    attempts: Number(told('attempts') ?? 0) || 0,
    history: readHistory(told('history')),
  };
}

function packHistory(history: readonly FailedAttempt[]): string {
  let packed: string[] = [];
  let size = 2;
  for (const { attempt, at, error } of history.toReversed()) {
    const text = JSON.stringify([attempt, at, error]);
    size += Buffer.byteLength(text) + 1;
    if (size > HISTORY_MAX_BYTES) break;
    packed = [text, ...packed];
  }
  return `[${packed.join(',')}]`;
}

function readHistory(text: string | undefined): readonly FailedAttempt[] {
  if (text === undefined) return [];
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return [];
  }
  return Array.isArray(list) ? list.flatMap(readFailure) : [];
}

function readFailure(value: unknown): FailedAttempt[] {
  if (!Array.isArray(value)) return [];
  const [attempt, at, error] = value as unknown[];
  const isOurs = typeof attempt === 'number' && typeof at === 'number' && typeof error === 'string';
  return isOurs ? [{ attempt, at, error }] : [];
}
