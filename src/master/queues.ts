import type { QueueStatus, Session } from '../backend.js';
import { answer } from '../flow/answer.js';
import type { Link } from '../flow/link.js';
import { ConnectError } from '../model/errors.js';
import { checkName } from '../model/names.js';
import { checkKeys, positive, type Limits } from './options.js';

/** For every call that waits for an answer of the broker. */
export interface CallOptions {
  /** Default `connectTimeoutMs` of the master. Past it the outcome is not known. */
  readonly timeoutMs?: number;
  /** Ends the wait, with its reason; what was asked of the broker is not taken back. */
  readonly signal?: AbortSignal;
}

export interface DeleteQueueOptions extends CallOptions {
  /** Also a queue that somebody consumes; its consumers end as `lost`. */
  readonly whileInUse?: boolean;
}

const WAIT = ['timeoutMs', 'signal'];

/** What a master asks its broker about durable queues, apart from consuming them. */
export class Queues {
  readonly #limits: Limits;
  readonly #link: Link;

  constructor(ports: { limits: Limits; link: Link }) {
    this.#limits = ports.limits;
    this.#link = ports.link;
  }

  async list(options: CallOptions): Promise<QueueStatus[]> {
    checkKeys('queues', options, WAIT);
    return this.#ask('The list of queues', options, (session) => session.queues());
  }

  async delete(queue: string, options: DeleteQueueOptions): Promise<void> {
    checkName('queue', queue);
    checkKeys('deleteQueue', options, ['whileInUse', ...WAIT]);
    const { whileInUse = false } = options;
    await this.#ask(`The deletion of queue "${queue}"`, options, (session) =>
      session.deleteQueue(queue, { whileInUse }),
    );
  }

  #ask<T>(what: string, options: CallOptions, ask: (session: Session) => Promise<T>): Promise<T> {
    const { environment, connectTimeoutMs } = this.#limits;
    const timeoutMs = positive('timeoutMs', options.timeoutMs ?? connectTimeoutMs);
    const session = this.#session();
    return answer(environment.clock, { what, timeoutMs, signal: options.signal }, () => ask(session));
  }

  #session(): Session {
    const { session } = this.#link;
    if (session) return session;
    throw new ConnectError(
      `Master "${this.#limits.name}" has no session at the moment. Try again when its status is "ready".`,
    );
  }
}
