import { Packr, Unpackr } from 'msgpackr';
import type { FailedAttempt, QueueSpec } from '../../backend.js';
import type { Entry, Letter } from '../hub/queue-parts.js';
import { Damage } from '../../folder/folder-errors.js';
import { seal, unseal } from '../../folder/seal.js';
import { packEnvelope } from './packed-envelope.js';

/** Of the records below. */
const RECORD_VERSION = 1;

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });

/** What the store keeps of a queue beside what it holds. */
export interface QueueRecord {
  readonly namespace: string;
  readonly id: string;
  readonly spec: QueueSpec;
  readonly bindings: readonly string[];
  readonly epoch: number;
  /** Entries before this position may have been handed over before an unclean end: they come flagged. */
  readonly flaggedBefore: number;
}

export type Mark = Pick<Entry, 'attempts' | 'redelivered' | 'redrives'>;

function unpack(what: string, sealed: Uint8Array): readonly unknown[] {
  const fields = unpackr.unpack(unseal(what, sealed)) as unknown;
  if (!Array.isArray(fields)) throw new Damage(`its ${what} is damaged`);
  if (fields[0] !== RECORD_VERSION)
    throw new Damage(`its ${what} was written by a newer signalbox: upgrade this one`);
  return fields as readonly unknown[];
}

export function packQueue({ namespace, id, spec, bindings, epoch, flaggedBefore }: QueueRecord): Uint8Array {
  const { name, ownership, limit, expiresMs, queueType } = spec;
  const settings = [ownership, limit?.messages, limit?.onFull, expiresMs, queueType];
  return seal(packr.pack([RECORD_VERSION, namespace, name, id, ...settings, bindings, epoch, flaggedBefore]));
}

export function unpackQueue(sealed: Uint8Array): QueueRecord {
  const [, namespace, name, id, ownership, messages, onFull, expiresMs, queueType, bindings, epoch, before] =
    unpack('record of a queue', sealed);
  // What has passed the checksum is what was packed above.
  return {
    namespace: namespace as string,
    id: id as string,
    spec: {
      name,
      ownership,
      limit: messages == null ? undefined : { messages, onFull },
      expiresMs: expiresMs ?? undefined,
      queueType: queueType ?? undefined,
    } as QueueSpec,
    bindings: bindings as string[],
    epoch: epoch as number,
    flaggedBefore: before as number,
  };
}

export function packCheckpoint(checkpoint: Uint8Array): Uint8Array {
  return seal(checkpoint);
}

export function unpackCheckpoint(sealed: Uint8Array): Uint8Array {
  return Uint8Array.from(unseal('checkpoint of a queue', sealed));
}

export function packMark({ attempts, redelivered, redrives }: Mark): Uint8Array {
  return packr.pack([attempts, redelivered, redrives]);
}

export function unpackMark(bytes: Uint8Array): Mark {
  const [attempts, redelivered, redrives] = unpackr.unpack(bytes) as [number, boolean, number];
  return { attempts, redelivered, redrives };
}

export function packLetter(letter: Letter): Uint8Array {
  const { id, reason, error, attempts, at, redrives, envelope, history } = letter;
  const historyFields = history.map((failed) => [failed.attempt, failed.at, failed.error]);
  return seal(
    packr.pack([
      RECORD_VERSION,
      id,
      reason,
      error,
      attempts,
      at,
      redrives,
      packEnvelope(envelope),
      historyFields,
    ]),
  );
}

function unpackFailure([attempt, at, error]: readonly [number, number, string]): FailedAttempt {
  return { attempt, at, error };
}

/** With the bytes of its message apart. */
export function unpackLetter(sealed: Uint8Array): { letter: Omit<Letter, 'envelope'>; bytes: Uint8Array } {
  const [, id, reason, error, attempts, at, redrives, bytes, failed] = unpack('dead letter', sealed);
  // Letters of earlier versions have no history.
  const history = ((failed ?? []) as [number, number, string][]).map(unpackFailure);
  const letter = { id, reason, error, attempts, at, redrives, history } as Omit<Letter, 'envelope'>;
  return { letter, bytes: bytes as Uint8Array };
}

export function packNumber(value: number): Uint8Array {
  return packr.pack(value);
}

export function unpackNumber(bytes: Uint8Array | undefined): number {
  return bytes ? (unpackr.unpack(bytes) as number) : 0;
}

/** How far the table has taken over the logs: everything up to this generation of this hub's, and of all before it. */
export interface LogMark {
  readonly hub: number;
  readonly generation: number;
}

export function packLogMark({ hub, generation }: LogMark): Uint8Array {
  return packr.pack([hub, generation]);
}

export function unpackLogMark(bytes: Uint8Array | undefined): LogMark {
  const [hub, generation] = bytes ? (unpackr.unpack(bytes) as [number, number]) : [0, 0];
  return { hub, generation };
}
