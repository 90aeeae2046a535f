import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Backend, QueueSpec } from '../backend.js';
import type { NatsCredentials } from '../backends/jetstream/credentials.js';
import { Catalogue } from '../model/catalogue.js';
import type { Environment } from '../model/clock.js';
import { systemEnvironment } from '../model/clock.js';
import { OptionError } from '../model/errors.js';
import type { Message } from '../model/message.js';
import { checkName } from '../model/names.js';
import { parsePattern, type TopicInput } from '../model/topic.js';
import type { MaybeCatalogue } from '../model/typed-message.js';
import type { MailboxOptions } from '../flow/mailbox.js';
import type { UntilOptions } from '../flow/statuses.js';
import type { PumpSettings } from '../flow/pump-ports.js';
import { amqpUrls } from './broker.js';

/** Any XState inspector: an observer, a function, or an object that has one as `inspect`. */
export type Inspector = unknown;

export interface RetryOptions {
  /** Handler calls in all, time-outs included. */
  readonly attemptsMax?: number;
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
}

export interface MasterOptions<C extends MaybeCatalogue = undefined> {
  /** Unique among the living masters of the namespace. */
  readonly name: string;
  /**
   * `memory:` (a private hub), `memory:NAME` (shared in this process), `file:./folder`, `amqp://…`, `amqps://…`, `nats://…` or
   * `tls://…`, several of these URLs of one broker, or a Backend.
   */
  readonly broker: string | readonly string[] | Backend;
  /** The catalogue: `publish`, patterns and messages are typed and checked by it. */
  readonly messages?: C;
  /** Masters of different namespaces see nothing of each other. Default `signalbox`. */
  readonly namespace?: string;
  /** For the whole master: every actor, its definition and its transitions. One that throws harms nobody. */
  readonly inspect?: Inspector;
  /** Where publishes are kept that pass their deadline, until the broker is back: a folder on a local disk. */
  readonly spool?: string | SpoolOptions;
  readonly publishTimeoutMs?: number;
  /** Unconfirmed publishes at a time. */
  readonly publishWindow?: number;
  readonly maxMessageBytes?: number;
  readonly connectTimeoutMs?: number;
  /** Gives up the start. */
  readonly signal?: AbortSignal;
  readonly drainTimeoutMs?: number;
  readonly ownerTimeoutMs?: number;
  /** After so long without a word of a producer its re-sent copies are no longer recognised, only flagged. */
  readonly producerMemoryMs?: number;
  /** A scheduler whose state was saved by a clock that is further ahead of this one says `CLOCK_SKEW`. */
  readonly clockSkewMs?: number;
  /** Of `file:`: say that the hub gives no answer, or kill it, so that another is started. */
  readonly ifHubFrozen?: 'report' | 'restart';
  /** Of `amqps:` and `tls:`: certificates and the like, as `node:tls` takes them. */
  readonly tls?: TlsOptions;
  /** Of NATS: who we are, beside what the URL says. */
  readonly credentials?: NatsCredentials;
  /** Of NATS: how many servers keep a copy of what is made. */
  readonly replicas?: 1 | 3 | 5;
  /** Time, chance and names: for tests. */
  readonly environment?: Environment;
}

export interface SpoolOptions {
  /** For one living master at a time. */
  readonly folder: string;
  /** More than so much is not kept. Default 256 MB. */
  readonly bytesMax?: number;
}

export interface StopOptions {
  /** For all that this stop drains, instead of the master's own. */
  readonly drainTimeoutMs?: number;
}

export interface SubscribeOptions {
  /** How many messages wait for the handler, and which go when there are more. */
  readonly mailbox?: Partial<MailboxOptions>;
  /**
   * `shared` (default): one queue at the broker for all subscribers of this master, which is cheap. `queue`: one of its own,
   * so that what the broker does to it is nobody else's affair.
   */
  readonly isolation?: 'shared' | 'queue';
  /** Ends the subscription. */
  readonly signal?: AbortSignal;
}

export interface ConsumeOptions {
  readonly bindings: readonly TopicInput[];
  /** `exclusive`: one master at a time consumes, in order. `shared`: each message goes to one of all consumers. */
  readonly ownership?: 'exclusive' | 'shared';
  readonly concurrency?: number;
  readonly prefetch?: number;
  /** Messages of one key are handled one after the other; different keys do not wait for each other. */
  readonly orderBy?: (message: Message) => string | undefined;
  readonly onFailure?: 'block' | 'pass';
  readonly retry?: RetryOptions;
  readonly handlerTimeoutMs?: number;
  readonly limit?: { readonly messages: number; readonly onFull: 'reject-publish' | 'drop-oldest' };
  /** The queue is deleted after so long without any consumer, standbys included. */
  readonly expiresMs?: number;
  /** Stops the consumer: it drains and hands over. Before it is declared, `consume` rejects with the reason. */
  readonly signal?: AbortSignal;
  readonly ifDeleted?: 'lost' | 'recreate';
  readonly queueType?: 'quorum' | 'classic';
}

/** The options of a master, complete and checked. */
export interface Limits {
  readonly namespace: string;
  readonly name: string;
  readonly environment: Environment;
  readonly spool: Required<SpoolOptions> | undefined;
  readonly publishTimeoutMs: number;
  readonly publishWindow: number;
  readonly maxMessageBytes: number;
  readonly connectTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly ownerTimeoutMs: number;
  readonly producerMemoryMs: number;
  readonly clockSkewMs: number;
  readonly ifHubFrozen: 'report' | 'restart';
  readonly tls: TlsOptions | undefined;
  readonly credentials: NatsCredentials | undefined;
  readonly replicas: number | undefined;
}

/** `ownerTimeoutMs` of RabbitMQ is two heartbeats, and its docs advise against less than 5 s. */
const AMQP_HEARTBEATS_MS = 2_000;

export function checkMasterOptions(options: MasterOptions<MaybeCatalogue>): Limits {
  checkKeys('createMaster', options, MASTER_OPTIONS);
  if (options.messages !== undefined && !(options.messages instanceof Catalogue))
    throw new OptionError('messages must be a catalogue, as defineMessages makes it.');
  return {
    name: checkName('master', options.name),
    namespace: checkName('namespace', options.namespace ?? 'signalbox'),
    environment: options.environment ?? systemEnvironment,
    spool: checkSpool(options.spool),
    publishTimeoutMs: positive('publishTimeoutMs', options.publishTimeoutMs ?? 30_000),
    publishWindow: positive('publishWindow', options.publishWindow ?? 1_000),
    maxMessageBytes: positive('maxMessageBytes', options.maxMessageBytes ?? 1_000_000),
    connectTimeoutMs: positive('connectTimeoutMs', options.connectTimeoutMs ?? 30_000),
    drainTimeoutMs: positive('drainTimeoutMs', options.drainTimeoutMs ?? 10_000),
    ownerTimeoutMs: checkOwnerTimeout(options),
    producerMemoryMs: positive('producerMemoryMs', options.producerMemoryMs ?? 86_400_000),
    clockSkewMs: positive('clockSkewMs', options.clockSkewMs ?? 1_000),
    ifHubFrozen: oneOf('ifHubFrozen', options.ifHubFrozen ?? 'report', ['report', 'restart']),
    tls: options.tls,
    credentials: checkCredentials(options.credentials),
    replicas: checkReplicas(options.replicas),
  };
}

function checkOwnerTimeout({ ownerTimeoutMs, broker }: MasterOptions<MaybeCatalogue>): number {
  if (!amqpUrls(broker)) return positive('ownerTimeoutMs', ownerTimeoutMs ?? 3_000);
  const timeoutMs = positive('ownerTimeoutMs', ownerTimeoutMs ?? 10_000);
  if (timeoutMs % AMQP_HEARTBEATS_MS === 0) return timeoutMs;
  throw new OptionError(
    `ownerTimeoutMs must be a multiple of ${AMQP_HEARTBEATS_MS} with RabbitMQ, not ${timeoutMs}: half of it is the heartbeat, in whole seconds.`,
  );
}

function checkCredentials(credentials: NatsCredentials | undefined): NatsCredentials | undefined {
  if (credentials === undefined) return undefined;
  checkKeys('credentials', credentials, ['user', 'password', 'token', 'nkeySeed', 'credsFile']);
  const isText = Object.values(credentials).every((value) => typeof value === 'string' && value !== '');
  if (isText) return credentials;
  throw new OptionError('credentials hold strings that are not empty.');
}

function checkReplicas(replicas: number | undefined): number | undefined {
  if (replicas === undefined || [1, 3, 5].includes(replicas)) return replicas;
  throw new OptionError(`replicas must be 1, 3 or 5, not ${String(replicas)}.`);
}

function checkSpool(spool: MasterOptions['spool']): Limits['spool'] {
  if (spool === undefined) return undefined;
  const options = typeof spool === 'string' ? { folder: spool } : spool;
  checkKeys('spool', options, ['folder', 'bytesMax']);
  const { folder, bytesMax = 256 * 2 ** 20 } = options;
  if (typeof folder !== 'string' || folder === '' || folder.includes('\0'))
    throw new OptionError('spool must be a folder, or { folder, bytesMax }.');
  return { folder, bytesMax: wholeNumber('spool.bytesMax', bytesMax) };
}

export function checkIsolation(isolation: SubscribeOptions['isolation']): 'shared' | 'queue' {
  return oneOf('isolation', isolation ?? 'shared', ['shared', 'queue']);
}

export function checkMailbox(mailbox: SubscribeOptions['mailbox'] = {}): MailboxOptions {
  checkKeys('mailbox', mailbox, ['limit', 'onFull']);
  return {
    limit: positive('mailbox.limit', mailbox.limit ?? 1_000),
    onFull: oneOf('mailbox.onFull', mailbox.onFull ?? 'drop-oldest', ['drop-oldest', 'drop-newest']),
  };
}

/** What `consume` asks for, complete and checked. */
export interface ConsumerPlan {
  readonly spec: QueueSpec;
  /** Normal forms. */
  readonly bindings: readonly string[];
  readonly settings: PumpSettings;
  readonly ifDeleted: 'lost' | 'recreate';
  readonly signal: AbortSignal | undefined;
}

export function checkConsumeOptions(queue: string, options: ConsumeOptions, limits: Limits): ConsumerPlan {
  checkKeys('consume', options, CONSUME_OPTIONS);
  if (options.orderBy !== undefined && typeof options.orderBy !== 'function')
    throw new OptionError('orderBy must be a function that gives a key, or undefined, for a message.');
  const name = checkName('queue', queue);
  const ownership = oneOf('ownership', options.ownership ?? 'exclusive', ['exclusive', 'shared']);
  const concurrency = positive('concurrency', options.concurrency ?? 1);
  if (!Array.isArray(options.bindings) || options.bindings.length === 0)
    throw new OptionError('bindings must be a list of at least one pattern.');
  const bindings = [...new Set(options.bindings.map((pattern: TopicInput) => parsePattern(pattern).pattern))];
  const { limit } = options;
  if (limit !== undefined) checkKeys('limit', limit, ['messages', 'onFull']);
  return {
    spec: {
      name,
      ownership,
      limit: limit && {
        messages: positive('limit.messages', limit.messages),
        onFull: oneOf('limit.onFull', limit.onFull, ['reject-publish', 'drop-oldest']),
      },
      expiresMs: options.expiresMs === undefined ? undefined : wholeNumber('expiresMs', options.expiresMs),
      queueType:
        options.queueType === undefined
          ? undefined
          : oneOf('queueType', options.queueType, ['quorum', 'classic'] as const),
    },
    bindings,
    signal: checkSignal(options.signal),
    ifDeleted: oneOf('ifDeleted', options.ifDeleted ?? 'lost', ['lost', 'recreate']),
    settings: {
      queue: name,
      concurrency,
      prefetch: positive('prefetch', options.prefetch ?? Math.min(32 * concurrency, 256)),
      onFailure: oneOf('onFailure', options.onFailure ?? (ownership === 'exclusive' ? 'block' : 'pass'), [
        'block',
        'pass',
      ]),
      orderBy: options.orderBy,
      retry: checkRetry(options.retry),
      handlerTimeoutMs: positive('handlerTimeoutMs', options.handlerTimeoutMs ?? 600_000),
      drainTimeoutMs: limits.drainTimeoutMs,
      producerMemoryMs: limits.producerMemoryMs,
    },
  };
}

function checkRetry(retry: RetryOptions = {}): PumpSettings['retry'] {
  checkKeys('retry', retry, ['attemptsMax', 'minDelayMs', 'maxDelayMs']);
  const attemptsMax = positive('retry.attemptsMax', retry.attemptsMax ?? 10);
  const maxDelayMs = positive('retry.maxDelayMs', retry.maxDelayMs ?? 60_000);
  const minDelayMs = positive('retry.minDelayMs', retry.minDelayMs ?? Math.min(100, maxDelayMs));
  if (minDelayMs > maxDelayMs)
    throw new OptionError(
      `retry.minDelayMs (${minDelayMs}) must not be more than retry.maxDelayMs (${maxDelayMs}).`,
    );
  return { attemptsMax, minDelayMs, maxDelayMs };
}

/** What `until` takes; it waits with its own default. */
export function checkUntil(options: UntilOptions): void {
  checkKeys('until', options, ['timeoutMs', 'signal']);
  if (options.timeoutMs !== undefined) positive('timeoutMs', options.timeoutMs);
  checkSignal(options.signal);
}

/** Also one of another realm, or of a library. */
export function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  if (typeof signal === 'object' && signal !== null && typeof signal.throwIfAborted === 'function')
    return signal;
  throw new OptionError('signal must be an AbortSignal.');
}

const MASTER_OPTIONS = [
  ...[
    'name',
    'broker',
    'messages',
    'namespace',
    'inspect',
    'spool',
    'publishTimeoutMs',
    'publishWindow',
    'maxMessageBytes',
  ],
  ...[
    'connectTimeoutMs',
    'signal',
    'drainTimeoutMs',
    'ownerTimeoutMs',
    'producerMemoryMs',
    'clockSkewMs',
    'ifHubFrozen',
    'tls',
    'credentials',
    'replicas',
    'environment',
  ],
];
export const CONSUME_OPTIONS = [
  ...[
    'bindings',
    'ownership',
    'concurrency',
    'prefetch',
    'orderBy',
    'onFailure',
    'retry',
    'handlerTimeoutMs',
  ],
  ...['limit', 'expiresMs', 'ifDeleted', 'queueType', 'signal'],
];

/** An option that does not exist is a mistake, not a wish to be passed over. */
export function checkKeys(what: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null)
    throw new OptionError(`The options of ${what} must be an object, not ${String(options)}.`);
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new OptionError(`${what} has no option "${unknown}". It takes ${known.join(', ')}.`);
}

/** Node's timers hold 31 bits. */
const NUMBER_MAX = 2_147_483_647;

function wholeNumber(option: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new OptionError(`${option} must be a whole number from 1, not ${String(value)}.`);
}

export function positive(option: string, value: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= NUMBER_MAX) return value;
  throw new OptionError(`${option} must be a whole number from 1 to ${NUMBER_MAX}, not ${String(value)}.`);
}

function oneOf<const T extends string>(option: string, value: T, allowed: readonly T[]): T {
  if (allowed.includes(value)) return value;
  throw new OptionError(
    `${option} must be ${allowed.map((word) => `"${word}"`).join(' or ')}, not ${JSON.stringify(value)}.`,
  );
}
