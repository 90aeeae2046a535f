import type { Backend, Capabilities, ConnectOptions, QueueStatus, Session, SessionSink } from '../backend.js';
import { HubSession } from '../backends/hub/hub-session.js';
import { Parcel } from '../flow/message-view.js';
import type { Environment, Timer } from '../model/clock.js';
import { OptionError, SessionLostError, StoppedError } from '../model/errors.js';
import type { Envelope, Message } from '../model/message.js';
import { FaultPlan } from './fault-plan.js';
import type { FaultyLine } from './faults.js';
import type { Records } from './records.js';
import { WiredSession, type SessionReports } from './wired-session.js';

export interface LinePorts {
  readonly namespace: string;
  readonly master: string;
  readonly environment: Environment;
  readonly records: Records;
  /** What this broker says of itself, beside what it can do. */
  readonly lacks: Partial<Capabilities>;
}

/**
 * The line between one master and the broker, over all its sessions.
 *
 * It is `up` while there is a session, `lost` from its end until the next one, and `idle` before the first and after one
 * that was closed. While it is frozen no word arrives at either end; the broker notices after the master's
 * `ownerTimeoutMs` and ends the session, as it does with a silent process.
 */
export class Line implements FaultyLine {
  readonly plan: FaultPlan;
  readonly #ports: LinePorts;
  /** Incarnations that were killed: they never come back. */
  readonly #dead = new Set<string>();
  #state: 'idle' | 'up' | 'lost' = 'idle';
  #session: WiredSession | undefined;
  #connection: ConnectOptions | undefined;
  #isFrozen = false;
  #silence: Timer | undefined;
  /** How many acks of this session were lost, by queue. */
  #lostAcks = new Map<string, number>();
  /** Breaks of the connection that the broker has not noticed. */
  #unnoticed = 0;

  constructor(ports: LinePorts) {
    this.#ports = ports;
    this.plan = new FaultPlan(ports.environment.random);
  }

  get namespace(): string {
    return this.#ports.namespace;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** Why this master is not at rest; undefined if it is. */
  get unrest(): string | undefined {
    const { master } = this.#ports;
    if (this.#unnoticed > 0) return `the broker has not noticed that the connection of "${master}" is broken`;
    if (this.#isFrozen)
      return this.#silence ? `the broker has not noticed that "${master}" is frozen` : undefined;
    if (this.#state === 'lost') return `"${master}" has no session`;
    return this.#session?.exchange.isBusy ? `"${master}" waits for answers of the broker` : undefined;
  }

  /** Whether somebody waits for what only time or another session ends. */
  get isForgotten(): boolean {
    return this.#session?.exchange.isForgotten ?? false;
  }

  async connect(options: ConnectOptions, broker: Backend): Promise<Session> {
    const { environment, lacks } = this.#ports;
    if (this.#dead.has(options.incarnation)) throw killed();
    if (this.plan.outage) throw this.plan.outage;
    // The broker lives on its own clock, also when a master's stands still.
    const real = await broker.connect({ ...options, environment });
    if (!(real instanceof HubSession)) throw new OptionError('Faults are made on memory: only.');
    const session = new WiredSession(real, {
      clock: environment.clock,
      plan: this.plan,
      capabilities: { ...real.capabilities, ...lacks },
      isFrozen: () => this.#isFrozen,
      reports: this.#reports(),
    });
    this.#session = session;
    this.#connection = options;
    this.#state = 'up';
    if (this.#isFrozen) this.#hold(session);
    void session.closed.then((reason) => {
      if (this.#session !== session) return;
      this.#session = undefined;
      this.#state = reason ? 'lost' : 'idle';
      this.#heard();
    });
    // Whoever connects listens to it from the next turn on.
    if (this.plan.blockedBy !== undefined) setImmediate(() => this.blocked());
    return session;
  }

  drop(reason: Error, noticedAfterMs: number): void {
    const session = this.#session;
    if (!session) return;
    session.breakOff(reason);
    if (noticedAfterMs === 0) return session.loseAtBroker(reason);
    this.#unnoticed++;
    this.#ports.environment.clock.setTimeout(() => {
      this.#unnoticed--;
      session.loseAtBroker(reason);
    }, noticedAfterMs);
  }

  blocked(): void {
    const reason = this.plan.blockedBy;
    if (reason !== undefined) this.#tell((sink) => sink.blocked(reason));
  }

  unblocked(): void {
    this.#tell((sink) => sink.unblocked());
  }

  freeze(): void {
    if (this.#isFrozen) return;
    this.#isFrozen = true;
    if (this.#session) this.#hold(this.#session);
  }

  thaw(): void {
    this.#isFrozen = false;
    this.#heard();
    this.#session?.exchange.toBroker.release();
    this.#session?.exchange.fromBroker.release();
  }

  /** Its process is gone: nothing of it is heard any more, and this incarnation never connects again. */
  kill(): void {
    if (this.#connection) this.#dead.add(this.#connection.incarnation);
    this.drop(killed(), 0);
    this.#session = undefined;
    this.#state = 'idle';
    this.#isFrozen = false;
    this.#heard();
  }

  /** The queues of its namespace; none if it has no session, or one that has ended at the broker. */
  async look(): Promise<QueueStatus[]> {
    return this.#session && !this.#isFrozen ? this.#session.look().catch(() => []) : [];
  }

  /** Messages of a queue that this session has acked, and the broker does not know. */
  lostAcksOf(queue: string): number {
    return (this.#session && this.#lostAcks.get(queue)) ?? 0;
  }

  #hold(session: WiredSession): void {
    session.exchange.toBroker.hold();
    session.exchange.fromBroker.hold();
    const { ownerTimeoutMs, master } = this.#connection!;
    this.#silence = this.#ports.environment.clock.setTimeout(() => {
      this.#silence = undefined;
      session.loseAtBroker(
        new SessionLostError(`Nothing was heard of "${master}" for ${ownerTimeoutMs} ms.`),
      );
    }, ownerTimeoutMs);
  }

  #heard(): void {
    this.#ports.environment.clock.clearTimeout(this.#silence);
    this.#silence = undefined;
  }

  #tell(say: (sink: SessionSink) => void): void {
    const { sink } = this.#connection ?? {};
    if (sink) this.#session?.exchange.tell(() => say(sink));
  }

  #reports(): SessionReports {
    const { master, records } = this.#ports;
    const lostAcks = (this.#lostAcks = new Map<string, number>());
    return {
      published: (envelope) =>
        records.published.push(withMessage(envelope, { master, resent: envelope.resent })),
      deliveries: (queue, epoch) => ({
        ackLost: () => lostAcks.set(queue, (lostAcks.get(queue) ?? 0) + 1),
        handled: ({ envelope, begun = 1, wasFlagged: redelivered }) =>
          records.handled.push(withMessage(envelope, { master, queue, epoch, attempt: begun, redelivered })),
        buried: ({ envelope }, { reason, error, attempts }) =>
          records.deadLettered.push(withMessage(envelope, { master, queue, reason, error, attempts })),
      }),
    };
  }
}

/** The message is read when somebody asks for it: not every body can be. */
function withMessage<T extends object>(envelope: Envelope, rest: T): T & { readonly message: Message } {
  const parcel = new Parcel(envelope);
  return Object.defineProperty(rest, 'message', { get: () => parcel.message(), enumerable: true }) as T & {
    readonly message: Message;
  };
}

function killed(): StoppedError {
  return new StoppedError('A test has killed this master.');
}
