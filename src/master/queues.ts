import type { QueueStatus, Session } from '../backend.js';
import { answer } from '../flow/answer.js';
import type { Link } from '../flow/link.js';
import { ConnectError, OptionError } from '../model/errors.js';
import { checkName } from '../model/names.js';
import { brokerError } from '../model/secrets.js';
import { letterOf, type DeadLetter } from './letters.js';
import { checkKeys, checkSignal, positive, type Limits } from './options.js';

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

export interface LettersOptions extends CallOptions {
  /** Which ones; all if it is not given. One that is not there does not count. */
  readonly ids?: readonly string[];
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

  /** Every step of the iteration has the deadline. */
  deadLetters(queue: string, options: CallOptions): AsyncIterableIterator<DeadLetter> {
    checkName('queue', queue);
    checkKeys('deadLetters', options, WAIT);
    return this.#read(queue, options);
  }

  async redrive(queue: string, options: LettersOptions): Promise<number> {
    checkLetters('redrive', queue, options);
    return this.#ask(`The redrive of queue "${queue}"`, options, (session) =>
      session.redrive(queue, options.ids),
    );
  }

  async dropDeadLetters(queue: string, options: LettersOptions): Promise<number> {
    checkLetters('dropDeadLetters', queue, options);
    return this.#ask(`Dropping dead letters of queue "${queue}"`, options, (session) =>
      session.dropDeadLetters(queue, options.ids),
    );
  }

  async *#read(queue: string, options: CallOptions): AsyncIterableIterator<DeadLetter> {
    const what = `Reading dead letters of queue "${queue}"`;
    checkSignal(options.signal)?.throwIfAborted();
    const letters = this.#session().deadLetters(queue)[Symbol.asyncIterator]();
    // The broker may hold what was read until it is told. Nobody waits longer for that than for a letter.
    const { timeoutMs = this.#limits.connectTimeoutMs } = options;
    const tell = async () => void (await letters.return?.());
    const close = () => this.#ask(what, { timeoutMs }, tell).catch(() => {});
    let isOpen = true;
    try {
      for (;;) {
        const step = await this.#ask(what, options, () => letters.next());
        isOpen = !step.done;
        if (step.done) return;
        yield letterOf(step.value);
      }
    } catch (error) {
      // Whoever has an error already does not wait.
      isOpen = false;
      void close();
      throw error;
    } finally {
      if (isOpen) await close();
    }
  }

  async #ask<T>(what: string, options: CallOptions, ask: (session: Session) => Promise<T>): Promise<T> {
    const { environment, connectTimeoutMs } = this.#limits;
    const timeoutMs = positive('timeoutMs', options.timeoutMs ?? connectTimeoutMs);
    const signal = checkSignal(options.signal);
    signal?.throwIfAborted();
    const session = this.#session();
    // The reason of the user's own signal is left as it is.
    const asked = () => ask(session).catch((thrown: unknown) => Promise.reject(brokerError(thrown)));
    return answer(environment.clock, { what, timeoutMs, signal }, asked);
  }

  #session(): Session {
    const { session } = this.#link;
    if (session) return session;
    throw new ConnectError(
      `Master "${this.#limits.name}" has no session at the moment. Try again when its status is "ready".`,
    );
  }
}

function checkLetters(what: string, queue: string, options: LettersOptions): void {
  checkName('queue', queue);
  checkKeys(what, options, ['ids', ...WAIT]);
  const { ids } = options;
  if (ids !== undefined && !(Array.isArray(ids) && ids.every((id) => typeof id === 'string')))
    throw new OptionError('ids must be a list of the ids of dead letters.');
}
