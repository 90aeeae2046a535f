import type { Receipt } from './receipt.js';

/** How far the damage of an error reaches. */
export type ErrorScope = 'message' | 'queue' | 'session' | 'master';

/**
 * Every error of signalbox: `code` is stable and a heading in the docs, `scope` says how far the damage reaches,
 * `retryable` whether the same call may succeed later without a change by the caller.
 */
export abstract class SignalboxError extends Error {
  abstract readonly code: `ERR_${string}`;
  abstract readonly scope: ErrorScope;
  readonly retryable: boolean = false;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A topic that breaks the grammar: nothing was sent. */
export class TopicError extends SignalboxError {
  readonly code = 'ERR_TOPIC';
  readonly scope = 'message';
}

/** A pattern that breaks the grammar, or has more than two `#` in its normal form. */
export class PatternError extends SignalboxError {
  readonly code = 'ERR_PATTERN';
  readonly scope = 'queue';
}

/** A name of a master, queue or namespace that is not 1 to 128 of letters, digits, `.`, `_`, `-`. */
export class NameError extends SignalboxError {
  readonly code = 'ERR_NAME';
  readonly scope = 'queue';
}

/** An option with a value that makes no sense; the text names the option. */
export class OptionError extends SignalboxError {
  readonly code = 'ERR_OPTION';
  readonly scope = 'master';
}

/** A broker URL that names no backend. */
export class BrokerUrlError extends SignalboxError {
  readonly code = 'ERR_BROKER_URL';
  readonly scope = 'master';
}

/** Data that cannot be written as a message; the text names the place inside it. */
export class PayloadError extends SignalboxError {
  readonly code = 'ERR_PAYLOAD';
  readonly scope = 'message';
}

/** Data larger than `maxMessageBytes` once encoded: nothing was sent. */
export class PayloadTooLargeError extends SignalboxError {
  readonly code = 'ERR_PAYLOAD_TOO_LARGE';
  readonly scope = 'message';
}

/** A received body that cannot be read. */
export class DecodeError extends SignalboxError {
  readonly code = 'ERR_DECODE';
  readonly scope = 'message';
}

/** A catalogue that cannot be: a bad key, two keys that fit one topic, or what is no Standard Schema. */
export class CatalogueError extends SignalboxError {
  readonly code = 'ERR_CATALOGUE';
  readonly scope = 'master';
}

/** No key of the catalogue fits the topic, or no topic of a key matches the pattern. */
export class UnknownTopicError extends SignalboxError {
  readonly code = 'ERR_UNKNOWN_TOPIC';
  readonly scope = 'message';
}

/** One thing that a schema has against some data. */
export interface DataIssue {
  readonly message: string;
  /** Where in the data: names and indexes from the outside in. */
  readonly path: readonly PropertyKey[];
}

/** Data that its schema refuses: nothing was sent, or no handler was called. `cause` is what a schema threw. */
export class InvalidDataError extends SignalboxError {
  readonly code = 'ERR_INVALID_DATA';
  readonly scope = 'message';
  readonly topic: string;
  /** The catalogue's key that fits the topic. */
  readonly key: string;
  /** At most the first 100. Empty if the schema threw. */
  readonly issues: readonly DataIssue[];

  constructor(
    message: string,
    details: { topic?: string; key?: string; issues?: readonly DataIssue[]; cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause });
    this.topic = details.topic ?? '';
    this.key = details.key ?? '';
    this.issues = details.issues ?? [];
  }
}

/** A queue that exists with other settings; the text names each difference. */
export class QueueSettingsError extends SignalboxError {
  readonly code = 'ERR_QUEUE_SETTINGS';
  readonly scope = 'queue';
}

/** A queue that somebody consumes cannot be deleted without `whileInUse`. */
export class QueueInUseError extends SignalboxError {
  readonly code = 'ERR_QUEUE_IN_USE';
  readonly scope = 'queue';
}

/** No such queue. */
export class QueueNotFoundError extends SignalboxError {
  readonly code = 'ERR_QUEUE_NOT_FOUND';
  readonly scope = 'queue';
}

/** The queue was deleted, or expired, while it was consumed: what it held is gone. */
export class QueueDeletedError extends SignalboxError {
  readonly code = 'ERR_QUEUE_DELETED';
  readonly scope = 'queue';
}

/** Queues with `onFull: 'reject-publish'` are full; other queues may have taken the message. */
export class QueueFullError extends SignalboxError {
  readonly code = 'ERR_QUEUE_FULL';
  readonly scope = 'message';
  override readonly retryable = true;

  /** `queues` is empty where the broker does not tell which. */
  constructor(readonly queues: readonly string[]) {
    const names = queues.length > 0 ? `Queue ${queues.map((name) => `"${name}"`).join(', ')}` : 'A queue';
    super(`${names} is full. Other queues may have taken the message; retry later.`);
  }
}

/** Two living masters of one namespace may not have the same name. */
export class MasterNameTakenError extends SignalboxError {
  readonly code = 'ERR_MASTER_NAME_TAKEN';
  readonly scope = 'master';
}

/** The master, or the subscription, has stopped or is stopping. */
export class StoppedError extends SignalboxError {
  readonly code = 'ERR_STOPPED';
  readonly scope = 'master';
}

/** The broker was not reached; `createMaster` tries until `connectTimeoutMs`. */
export class ConnectError extends SignalboxError {
  readonly code = 'ERR_CONNECT';
  readonly scope = 'session';
  override readonly retryable = true;
}

/** The broker refuses this user, password, vhost or permission: another attempt would be refused as well. */
export class AccessError extends SignalboxError {
  readonly code = 'ERR_ACCESS';
  readonly scope = 'session';
}

/** The session ended while the call was under way: its outcome is unknown. */
export class SessionLostError extends SignalboxError {
  readonly code = 'ERR_SESSION_LOST';
  readonly scope = 'session';
  override readonly retryable = true;
}

/** The broker has no room on its disk: nothing was taken. Acks and deletions go on, and make room. */
export class BrokerFullError extends SignalboxError {
  readonly code = 'ERR_BROKER_FULL';
  readonly scope = 'session';
  override readonly retryable = true;
}

/** A folder that no hub, or no spool, can work in; the text says why and what to do. */
export class FolderError extends SignalboxError {
  readonly code = 'ERR_FOLDER';
  readonly scope = 'master';
}

/** The other side of a connection speaks another protocol, or another version of it. */
export class ProtocolError extends SignalboxError {
  readonly code = 'ERR_PROTOCOL';
  readonly scope = 'session';
}

/** Refused: the queue has an owner with a higher epoch. */
export class FencedError extends SignalboxError {
  readonly code = 'ERR_FENCED';
  readonly scope = 'queue';
}

/** `unknown`: the message may have been taken. `not-sent`: it never left this process. */
export type PublishOutcome = 'unknown' | 'not-sent';

/** A publish that was not confirmed within `timeoutMs`. */
export class TimeoutError extends SignalboxError {
  readonly code = 'ERR_TIMEOUT';
  readonly scope = 'message';
  override readonly retryable = true;
  readonly id: string;
  readonly outcome: PublishOutcome;
  readonly #retry: () => Promise<Receipt>;

  constructor(details: {
    id: string;
    topic: string;
    timeoutMs: number;
    outcome: PublishOutcome;
    retry: () => Promise<Receipt>;
    cause?: Error;
  }) {
    const what = details.outcome === 'unknown' ? 'it may have been taken' : 'it was never sent';
    super(
      `Message ${details.id} on "${details.topic}" was not confirmed within ${details.timeoutMs} ms; ${what}. ` +
        'Call retry() to send it again under the same id.',
      details.cause && { cause: details.cause },
    );
    this.id = details.id;
    this.outcome = details.outcome;
    this.#retry = details.retry;
  }

  /** Sends the message again under the same id, flagged as a re-sent copy. Resolves as `publish` does. */
  retry(): Promise<Receipt> {
    return this.#retry();
  }
}

/** A wait that passed its deadline: `waitFor`, `until`, a call about queues that had no answer. */
export class DeadlineError extends SignalboxError {
  readonly code = 'ERR_DEADLINE';
  readonly scope = 'message';
  override readonly retryable = true;
}

/** Too many publishes wait for a place in the window: nothing was sent. */
export class OutboxFullError extends SignalboxError {
  readonly code = 'ERR_OUTBOX_FULL';
  readonly scope = 'message';
  override readonly retryable = true;
}

/** The spool takes nothing more: its limit is reached, the disk is nearly full, or it cannot be written. Nothing was sent. */
export class SpoolFullError extends SignalboxError {
  readonly code = 'ERR_SPOOL_FULL';
  readonly scope = 'message';
  override readonly retryable = true;
}

/** A `retry()` after the number was closed: nobody could recognise the copy any more. */
export class RetryExpiredError extends SignalboxError {
  readonly code = 'ERR_RETRY_EXPIRED';
  readonly scope = 'message';
}

/** A supervisor gave up: more restarts than `intensity` within `periodMs`. `cause` is the last error. */
export class RestartIntensityError extends SignalboxError {
  readonly code = 'ERR_RESTART_INTENSITY';
  readonly scope = 'master';
}

/** What this backend cannot do; `capabilities` says so too. */
export class UnsupportedError extends SignalboxError {
  readonly code = 'ERR_UNSUPPORTED';
  readonly scope = 'queue';
}

/** A machine that cannot be a scheduler's: it has children that are no invoked promises, or does not come to rest. */
export class SchedulerLogicError extends SignalboxError {
  readonly code = 'ERR_SCHEDULER_LOGIC';
  readonly scope = 'queue';
}

/** The saved state of a scheduler is of another `version`, or its machine has no such state: nothing is guessed. */
export class SchedulerStateError extends SignalboxError {
  readonly code = 'ERR_SCHEDULER_STATE';
  readonly scope = 'queue';
}

/** The state of a scheduler is larger than its backend takes; the text names both sizes. Nothing of it was saved. */
export class CheckpointTooLargeError extends SignalboxError {
  readonly code = 'ERR_CHECKPOINT_TOO_LARGE';
  readonly scope = 'queue';
}

/** Thrown by a handler to dead-letter its message at once. */
export class RejectError extends SignalboxError {
  readonly code = 'ERR_REJECTED';
  readonly scope = 'message';
}

/**
 * Thrown by a handler to be called again after `delayMs` instead of the policy's delay, which is taken for a delay that
 * makes no sense (negative, NaN).
 */
export class RetryError extends SignalboxError {
  readonly code = 'ERR_RETRY';
  readonly scope = 'message';
  override readonly retryable = true;
  readonly delayMs: number | undefined;

  constructor(options: { delayMs?: number; reason?: string; cause?: unknown } = {}) {
    super(options.reason ?? 'The handler asked to be called again.', { cause: options.cause });
    this.delayMs = options.delayMs;
  }
}

/** A handler that threw something that is no Error (`cause` holds it). */
export class HandlerError extends SignalboxError {
  readonly code = 'ERR_HANDLER';
  readonly scope = 'message';
}

/** A handler that ran past `handlerTimeoutMs`; its `delivery.signal` was aborted. */
export class HandlerTimeoutError extends SignalboxError {
  readonly code = 'ERR_HANDLER_TIMEOUT';
  readonly scope = 'message';
}

/** What was thrown, as an Error: user code may throw anything. */
export function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  let text: string;
  try {
    text = String(thrown);
  } catch {
    text = 'a value that cannot be shown';
  }
  return new HandlerError(`The handler threw ${text}, which is no Error.`, { cause: thrown });
}

/** Whether another attempt may succeed: an error that is not signalbox's own is taken for a passing one. */
export function isRetryable(error: unknown): boolean {
  return error instanceof SignalboxError ? error.retryable : true;
}
