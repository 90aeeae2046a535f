import { sessionMachine, type SessionEvent, type SessionState, type Trouble } from '../../actors/session.js';
import { fillPromise, fillResource } from '../../actors/slots.js';
import type { Backend, Session } from '../backend.js';
import type { Drains } from '../flow/drains.js';
import type { Events } from '../flow/events.js';
import type { Link } from '../flow/link.js';
import { delayMs } from '../model/backoff.js';
import { ConnectError, StoppedError, isRetryable } from '../model/errors.js';
import { brokerError, withoutSecrets } from '../model/secrets.js';
import { Alarm } from './alarm.js';
import type { MasterEvents } from './events.js';
import type { Limits } from './options.js';

const RECONNECT = { minDelayMs: 100, maxDelayMs: 10_000 };

/** The slots of the session actor: the only place that connects. */
export class Connection {
  readonly machine;
  readonly #backend: Backend;
  readonly #limits: Limits;
  readonly #link: Link;
  readonly #drains: Drains;
  readonly #events: Events<MasterEvents>;
  readonly #incarnation: string;
  #trouble: Error | undefined;
  /** Of the present session. */
  #alarm = new Alarm();

  constructor(ports: {
    backend: Backend;
    limits: Limits;
    link: Link;
    drains: Drains;
    events: Events<MasterEvents>;
    incarnation: string;
  }) {
    this.#backend = ports.backend;
    this.#limits = ports.limits;
    this.#link = ports.link;
    this.#drains = ports.drains;
    this.#events = ports.events;
    this.#incarnation = ports.incarnation;
    this.machine = sessionMachine.provide({
      actors: {
        connect: fillPromise<Trouble | undefined, { attempt: number }>((input, signal) =>
          this.#connect(input.attempt, signal),
        ),
        watch: fillResource<SessionEvent, Record<string, never>>((_, tell) => this.#watch(tell)),
        close: fillPromise<void, Record<string, never>>(() => this.#close()),
      },
      actions: {
        report: (_, { state, reason, attempt, delayMs: waits }) =>
          this.#report(state, reason, attempt, waits),
      },
    });
  }

  /** Why there is no session. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  async #connect(attempt: number, signal: AbortSignal): Promise<Trouble | undefined> {
    const { namespace, name, environment, ownerTimeoutMs, connectTimeoutMs } = this.#limits;
    const attemptEnds = new AbortController();
    const abort = () => attemptEnds.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const timer = environment.clock.setTimeout(
      () =>
        attemptEnds.abort(
          new ConnectError(
            `${withoutSecrets(this.#backend.name)} gave no answer within ${connectTimeoutMs} ms.`,
          ),
        ),
      connectTimeoutMs,
    );
    const alarm = new Alarm();
    try {
      const connecting = this.#backend.connect({
        namespace,
        master: name,
        incarnation: this.#incarnation,
        ownerTimeoutMs,
        environment,
        signal: attemptEnds.signal,
        sink: {
          blocked: (reason) => alarm.blocked(withoutSecrets(reason)),
          unblocked: () => alarm.unblocked(),
          warning: (code, text) => this.#events.emit('warning', { code, text: withoutSecrets(text) }),
        },
      });
      const session = await inTime(connecting, attemptEnds.signal);
      this.#alarm = alarm;
      this.#link.up(session);
      return undefined;
    } catch (thrown) {
      // Nobody waits for it any more.
      if (signal.aborted) return undefined;
      return this.#troubleOf(brokerError(thrown), attempt);
    } finally {
      environment.clock.clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  #watch(tell: (event: SessionEvent) => void): () => void {
    const session = this.#link.session!;
    let watching = true;
    const leave = this.#alarm.listen(tell);
    void session.closed.then((reason) => {
      const error = reason ? brokerError(reason) : new StoppedError('The session was closed.');
      this.#link.down(error);
      if (watching) tell({ type: 'session.lost', ...this.#troubleOf(error, 1) });
    });
    return () => {
      watching = false;
      leave();
    };
  }

  async #close(): Promise<void> {
    const { session } = this.#link;
    if (session) await this.#drains.run(() => session.close());
    this.#link.down(new StoppedError('The master has stopped.'));
  }

  #troubleOf(error: Error, attempt: number): Trouble {
    this.#trouble = error;
    const waits = delayMs({ ...RECONNECT, attempt }, this.#limits.environment.random);
    return { reason: error.message, fatal: !isRetryable(error), delayMs: waits };
  }

  #report(state: SessionState, reason: string, attempt: number, waits: number): void {
    if (state === 'connected') this.#trouble = undefined;
    this.#events.emit('session', { state, reason, attempt, delayMs: waits });
  }
}

/** A session that comes too late is closed: a backend that does not heed the signal holds nobody up. */
async function inTime(connecting: Promise<Session>, signal: AbortSignal): Promise<Session> {
  const late = new Promise<never>((_, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
  );
  const session = await Promise.race([connecting, late]).catch((thrown: unknown) => {
    void connecting.then((session) => session.close()).catch(() => {});
    throw thrown;
  });
  if (!signal.aborted) return session;
  await session.close();
  throw signal.reason;
}
