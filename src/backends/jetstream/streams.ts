import {
  DiscardPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { AccessError, toError } from '../../model/errors.js';
import { Code, errorCode } from './api-errors.js';
import type { Connection } from './connection.js';
import type { Names } from './names.js';

export interface StreamSettings {
  /** Of the stream of messages; each of the two others may hold a quarter of it. */
  readonly maxBytes: number;
  readonly replicas: number;
}

const NANOSECONDS = 1_000_000;
/** So long a message that is published twice is stored once. */
const DUPLICATES_MS = 120_000;

/** Creates the streams of a namespace that are missing. Those that are there stay as somebody has made or changed them. */
export async function ensureStreams(
  connection: Connection,
  names: Names,
  settings: StreamSettings,
): Promise<void> {
  const { maxBytes, replicas } = settings;
  const common = {
    storage: StorageType.File,
    // A stream that is full must say so: what it dropped in silence would be lost.
    discard: DiscardPolicy.New,
    num_replicas: replicas,
    duplicate_window: DUPLICATES_MS * NANOSECONDS,
  };
  const aside = Math.max(1_048_576, Math.floor(maxBytes / 4));
  await ensure(connection, {
    ...common,
    name: names.records,
    subjects: names.recordSubjects,
    retention: RetentionPolicy.Limits,
    max_msgs_per_subject: 1,
    max_bytes: aside,
  });
  await ensure(connection, {
    ...common,
    name: names.letters,
    subjects: names.letterSubjects,
    retention: RetentionPolicy.Limits,
    max_bytes: aside,
  });
  await ensure(connection, {
    ...common,
    name: names.events,
    subjects: [names.eventSubjects],
    retention: RetentionPolicy.Interest,
    max_bytes: maxBytes,
  });
}

const OVERLAP_TRIES = 20;

type Wanted = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'retention' | 'discard'>;

async function ensure(connection: Connection, wanted: Wanted): Promise<void> {
  const found = (await look(connection, wanted.name)) ?? (await create(connection, wanted));
  // Read back: an older server passes over what it does not know.
  const { config } = found;
  const subjects = new Set(config.subjects);
  const lacks = [
    config.retention !== wanted.retention && 'retention',
    config.discard !== wanted.discard && 'discard',
    (wanted.subjects ?? []).some((subject) => !subjects.has(subject)) && 'subjects',
    wanted.max_msgs_per_subject !== undefined &&
      config.max_msgs_per_subject !== wanted.max_msgs_per_subject &&
      'max_msgs_per_subject',
  ].filter((lack) => lack !== false);
  if (lacks.length > 0)
    throw new AccessError(
      `Stream "${wanted.name}" exists with other settings (${lacks.join(', ')}). Delete it, or use another namespace.`,
    );
}

async function look(connection: Connection, name: string): Promise<StreamInfo | undefined> {
  try {
    return await connection.api((jsm) => jsm.streams.info(name));
  } catch (error) {
    if (errorCode(error) === Code.streamNotFound) return undefined;
    throw settingsError(error, name);
  }
}

async function create(connection: Connection, wanted: Wanted): Promise<StreamInfo> {
  try {
    return await connection.api((jsm) => jsm.streams.add(wanted));
  } catch (error) {
    // Another master was a little faster; while its stream comes about the server says that the subjects are taken.
    const code = errorCode(error);
    const tries = code === Code.streamNameInUse ? 1 : code === Code.subjectsOverlap ? OVERLAP_TRIES : 0;
    for (let tried = 0; tried < tries; tried++) {
      const found = await look(connection, wanted.name);
      if (found) return found;
      await connection.pause();
    }
    throw settingsError(error, wanted.name);
  }
}

function settingsError(thrown: unknown, name: string): Error {
  const error = toError(thrown);
  const code = errorCode(error);
  if (code === undefined) return error;
  const hint =
    code === Code.noStorageLeft || code === Code.insufficientResources || code === Code.rescued
      ? ' Set maxBytes to what the server has room for.'
      : '';
  return new AccessError(`Stream "${name}" cannot be made: ${error.message}.${hint}`, { cause: error });
}
