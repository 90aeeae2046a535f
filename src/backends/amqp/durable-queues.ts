import type { Channel } from 'amqplib';
import type { QueueSpec } from '../../backend.js';
import { QueueInUseError, QueueSettingsError, UnsupportedError } from '../../model/errors.js';
import { isExchangeGone, notFound, queueError, replyCode, Reply } from './broker-errors.js';
import type { Connection } from './connection.js';
import type { Names } from './names.js';

/** So often may a message come again before the broker takes it for poison: never. Attempts are counted by us. */
const DELIVERY_LIMIT = 1_000_000_000;
/** Of AMQP: a longer expiry is refused by the broker. */
const EXPIRY_MAX_MS = 4_294_967_295;

/** The durable queues of a namespace at the broker: each is a work queue, a token queue and its dead letters. */
export class DurableQueues {
  readonly #connection: Connection;
  readonly #names: Names;
  readonly #exchangeGone: () => void;

  /** `exchangeGone` is told when a binding finds no exchange. */
  constructor(connection: Connection, names: Names, exchangeGone: () => void) {
    this.#connection = connection;
    this.#names = names;
    this.#exchangeGone = exchangeGone;
  }

  /** Creates what is missing of it. */
  async declare(spec: QueueSpec): Promise<void> {
    const { name } = spec;
    const type = typeOf(spec);
    // The work queue first: it is the one that has settings to differ in.
    await this.#asking(name, (channel) =>
      channel.assertQueue(this.#names.work(name), { durable: true, arguments: workArguments(spec, type) }),
    );
    const expiry = spec.expiresMs === undefined ? {} : { 'x-expires': spec.expiresMs };
    await this.#assertPart(name, this.#names.tokens(name), {
      'x-queue-type': type,
      'x-single-active-consumer': true,
      ...limitOf(type, this.#connection.version),
      ...expiry,
    });
    // Nobody consumes them while all is well: whoever stands for an expiring queue looks at them, which of a classic one
    // renews the lease.
    const letters = spec.expiresMs === undefined ? type : 'classic';
    await this.#assertPart(name, this.#names.letters(name), {
      'x-queue-type': letters,
      ...deliveryLimit(letters),
      ...expiry,
    });
  }

  /** Looks at what would expire though somebody stands for it. */
  async renew(name: string): Promise<void> {
    await this.work(name);
    await this.#look(name, this.#names.letters(name));
  }

  /** Whether all its parts are there. */
  async exists(name: string): Promise<boolean> {
    for (const part of this.#parts(name)) if ((await this.#look(name, part)) === undefined) return false;
    return true;
  }

  /** How many messages wait, and how many consumers there are; undefined if there is no such queue. */
  work(name: string): Promise<{ messageCount: number; consumerCount: number } | undefined> {
    return this.#look(name, this.#names.work(name));
  }

  tokens(name: string): Promise<{ messageCount: number; consumerCount: number } | undefined> {
    return this.#look(name, this.#names.tokens(name));
  }

  async check(name: string): Promise<void> {
    if (!(await this.exists(name))) throw notFound(name);
  }

  /** Also what a broken deletion or an expiry has left of it. */
  async delete(name: string, options: { readonly whileInUse: boolean }): Promise<void> {
    const [work, tokens] = [await this.work(name), await this.tokens(name)];
    const letters = work || tokens ? undefined : await this.#look(name, this.#names.letters(name));
    if (!work && !tokens && !letters) throw notFound(name);
    const consumers = (work?.consumerCount ?? 0) + (tokens?.consumerCount ?? 0);
    if (consumers > 0 && !options.whileInUse)
      throw new QueueInUseError(
        `Queue "${name}" has consumers. Stop them first, or delete it with { whileInUse: true }.`,
      );
    // The tokens first: then everybody who stands for it is told, and nobody is granted what is half gone.
    for (const part of [this.#names.tokens(name), this.#names.work(name), this.#names.letters(name)])
      await this.#asking(name, (channel) => channel.deleteQueue(part));
  }

  async bind(name: string, patterns: readonly string[]): Promise<void> {
    if (patterns.length === 0) return;
    const [queue, exchange] = [this.#names.work(name), this.#names.events];
    await this.#asking(name, (channel) =>
      Promise.all(patterns.map((pattern) => channel.bindQueue(queue, exchange, pattern))),
    );
  }

  async unbind(name: string, patterns: readonly string[]): Promise<void> {
    if (patterns.length === 0) return;
    const [queue, exchange] = [this.#names.work(name), this.#names.events];
    await this.#asking(name, (channel) =>
      Promise.all(patterns.map((pattern) => channel.unbindQueue(queue, exchange, pattern))),
    );
  }

  async purgeLetters(name: string): Promise<void> {
    await this.#asking(name, (channel) => channel.purgeQueue(this.#names.letters(name)));
  }

  #parts(name: string): string[] {
    return [this.#names.work(name), this.#names.tokens(name), this.#names.letters(name)];
  }

  /** One that is there stays as it is: an older broker, or an older signalbox, may have made it. */
  async #assertPart(name: string, part: string, args: Record<string, unknown>): Promise<void> {
    try {
      await this.#asking(name, (channel) => channel.assertQueue(part, { durable: true, arguments: args }));
    } catch (error) {
      const isThere = error instanceof QueueSettingsError && !/expiresMs/.test(error.message);
      if (!isThere) throw error;
    }
  }

  async #look(name: string, part: string) {
    try {
      return await this.#connection.with((channel) => channel.checkQueue(part));
    } catch (error) {
      if (replyCode(error) === Reply.notFound) return undefined;
      throw queueError(error, name);
    }
  }

  async #asking<T>(name: string, work: (channel: Channel) => Promise<T>): Promise<T> {
    try {
      return await this.#connection.with(work);
    } catch (error) {
      if (isExchangeGone(error)) {
        this.#exchangeGone();
        throw this.#connection.lostError();
      }
      throw queueError(error, name);
    }
  }
}

/** Settings that this backend refuses are refused before anything is asked of the broker. */
function typeOf(spec: QueueSpec): 'quorum' | 'classic' {
  const { ownership, queueType, name, expiresMs } = spec;
  if (ownership === 'shared' && queueType === 'classic')
    throw new UnsupportedError(
      `Queue "${name}" cannot be shared and classic: only quorum queues count how often a message was delivered.`,
    );
  if (expiresMs !== undefined && expiresMs > EXPIRY_MAX_MS)
    throw new UnsupportedError(`Queue "${name}": RabbitMQ's longest expiresMs is ${EXPIRY_MAX_MS}.`);
  return queueType ?? (ownership === 'shared' ? 'quorum' : 'classic');
}

function workArguments(spec: QueueSpec, type: 'quorum' | 'classic'): Record<string, unknown> {
  const { ownership, limit, expiresMs } = spec;
  return {
    'x-queue-type': type,
    ...(ownership === 'exclusive' && { 'x-single-active-consumer': true }),
    ...(limit && {
      'x-max-length': limit.messages,
      'x-overflow': limit.onFull === 'reject-publish' ? 'reject-publish' : 'drop-head',
    }),
    ...(expiresMs !== undefined && { 'x-expires': spec.expiresMs }),
    ...deliveryLimit(type),
  };
}

function deliveryLimit(type: 'quorum' | 'classic') {
  return type === 'quorum' ? { 'x-delivery-limit': DELIVERY_LIMIT } : {};
}

/** [E] before 4.0, −1 drops a token at its first return; from 4.0 on, without it the twentieth return does. */
function limitOf(type: 'quorum' | 'classic', version: string) {
  return type === 'quorum' && Number.parseInt(version, 10) >= 4 ? { 'x-delivery-limit': -1 } : {};
}
