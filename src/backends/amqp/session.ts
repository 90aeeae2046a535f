import type {
  Capabilities,
  Claim,
  ClaimSink,
  ConnectOptions,
  ConsumeOptions,
  Consumer,
  ConsumerSink,
  DeadLetter,
  Holder,
  Ownership,
  QueueSpec,
  QueueStatus,
  Session,
  TransientQueue,
  TransientSink,
} from '../../backend.js';
import { SessionLostError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { Alarm } from './alarm.js';
import { accessError, isExchangeGone, replyCode, Reply } from './broker-errors.js';
import { Claims } from './claims.js';
import type { Connection } from './connection.js';
import { Consuming } from './consuming.js';
import type { Control, KnownQueue } from './control.js';
import type { Direct } from './direct.js';
import type { DurableQueues } from './durable-queues.js';
import type { KnownQueues } from './known-queues.js';
import type { Letters } from './letters.js';
import { listQueues } from './listing.js';
import type { MasterName } from './master-name.js';
import type { Names } from './names.js';
import type { Publisher } from './publisher.js';
import { AmqpTransientQueue } from './transient-queue.js';

/** How long the broker may take what a dead connection has sent, in heartbeats. */
const LINGER_HEARTBEATS = 3;

/** The parts of a session, made by `connect`. */
export interface SessionParts {
  readonly options: ConnectOptions;
  readonly heartbeatMs: number;
  readonly consumerTimeoutMs: number;
  readonly names: Names;
  /** Takes acks and gives deliveries; it never publishes: during a memory alarm that would block its acks. */
  readonly consuming: Connection;
  readonly publishing: Connection;
  readonly events: Publisher;
  readonly direct: Direct;
  readonly control: Control;
  readonly queues: DurableQueues;
  readonly letters: Letters;
  /** Queues that this master has to do with, or has heard of, also in earlier sessions. */
  readonly known: KnownQueues;
}

/** One master's session with RabbitMQ: two connections, which live and die together. */
export class AmqpSession implements Session {
  readonly capabilities: Capabilities;
  readonly closed: Promise<Error | undefined>;
  readonly #parts: SessionParts;
  readonly #settleClosed: (reason: Error | undefined) => void;
  readonly #transients = new Set<AmqpTransientQueue>();
  readonly #claims: Claims;
  readonly #consuming: Consuming;
  readonly #alarm: Alarm;
  #end: { readonly reason: Error | undefined } | undefined;
  #closing: Promise<void> | undefined;
  #name: MasterName | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.capabilities = {
      fencing: 'receiver',
      depthKind: 'ready',
      queueLimit: true,
      queueExpiry: true,
      lingerMs: parts.heartbeatMs * LINGER_HEARTBEATS,
      exactHandBack: false,
    };
    let settle!: (reason: Error | undefined) => void;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.#settleClosed = settle;
    const { consuming, publishing, events, options } = parts;
    for (const connection of [consuming, publishing])
      void connection.closed.then((reason) => this.#connectionEnded(reason));
    for (const { onClosed } of [events, parts.direct]) onClosed((refusal) => this.#refused(refusal));
    this.#alarm = new Alarm(publishing, {
      blocked: (reason) => {
        if (this.isLive) options.sink.blocked(reason);
      },
      unblocked: () => {
        if (this.isLive) options.sink.unblocked();
      },
    });
    this.#consuming = new Consuming({
      ...parts,
      isLive: () => this.isLive,
      ask: async () => {
        for (const { queues } of await parts.control.ask()) parts.known.learn(queues);
      },
      claimOf: (ownership) => this.#claims.of(ownership),
    });
    this.#claims = new Claims({
      ...parts,
      alarm: this.#alarm,
      isLive: () => this.isLive,
      consumerOf: (ownership) => this.#consuming.of(ownership),
      bound: (queue, bindings) => {
        parts.known.noteBindings(queue, bindings);
        void this.#tellOf(queue).catch(() => {});
      },
    });
  }

  get isLive(): boolean {
    return !this.#end;
  }

  /** The session holds the name of its master. */
  named(name: MasterName): void {
    this.#name = name;
  }

  /** What this master tells others. */
  known(): KnownQueue[] {
    return this.#claims.known(this.#consuming.queues);
  }

  heardOf(queue: string, holder: Holder): void {
    this.#claims.heardOf(queue, holder);
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<void> {
    return this.#end ? Promise.reject(this.#lost()) : this.#parts.events.publish(envelope, fence);
  }

  async listen(sink: TransientSink): Promise<TransientQueue> {
    this.#check();
    const { consuming, options, names } = this.#parts;
    const { environment } = options;
    const queue = new AmqpTransientQueue(sink, {
      connection: consuming,
      environment,
      exchange: names.events,
      name: names.ofSession('transient', environment.randomId()),
      ended: (one) => this.#transients.delete(one),
      broken: (reason) => this.drop(reason),
    });
    this.#transients.add(queue);
    try {
      await queue.open();
    } catch (thrown) {
      this.#transients.delete(queue);
      throw this.#end ? this.#lost() : thrown;
    }
    return queue;
  }

  async declareQueue(spec: QueueSpec): Promise<void> {
    this.#check();
    await this.#parts.queues.declare(spec);
    this.#claims.declared(spec);
    this.#parts.known.declared(spec.name, spec.ownership);
    await this.#tellOf(spec.name);
  }

  async findQueue(name: string): Promise<boolean> {
    this.#check();
    return this.#parts.queues.exists(name);
  }

  async deleteQueue(name: string, options: { whileInUse: boolean }): Promise<void> {
    this.#check();
    await this.#parts.queues.delete(name, options);
    this.#parts.known.forget(name);
  }

  async queues(): Promise<QueueStatus[]> {
    this.#check();
    const answers = await this.#parts.control.ask();
    for (const { queues } of answers) this.#parts.known.learn(queues);
    return listQueues(answers, this.#parts.queues, (name) => this.#parts.known.forget(name));
  }

  async claim(name: string, sink: ClaimSink): Promise<Claim> {
    this.#check();
    try {
      return await this.#claims.claim(name, sink);
    } catch (thrown) {
      throw this.#end ? this.#lost() : thrown;
    }
  }

  async consume(name: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    this.#check();
    try {
      return await this.#consuming.consume(name, options, sink);
    } catch (thrown) {
      throw this.#end ? this.#lost() : thrown;
    }
  }

  async *deadLetters(queue: string): AsyncIterable<DeadLetter> {
    this.#check();
    yield* this.#parts.letters.read(queue);
  }

  async redrive(queue: string, ids: readonly string[] | undefined): Promise<number> {
    this.#check();
    return this.#parts.letters.redrive(queue, ids);
  }

  async dropDeadLetters(queue: string, ids: readonly string[] | undefined): Promise<number> {
    this.#check();
    return this.#parts.letters.drop(queue, ids);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** As if the process had died. */
  drop(reason: Error): void {
    this.#finish(reason);
    this.#parts.consuming.drop(reason);
    this.#parts.publishing.drop(reason);
  }

  async #close(): Promise<void> {
    if (!this.#end) {
      this.#end = { reason: undefined };
      await this.#consuming.close();
      await this.#claims.leave();
      // The broker forgets them with their connection, but only after it has said goodbye.
      await Promise.all([...this.#transients].map((transient) => transient.close()));
      await this.#name?.giveBack().catch(() => {});
      await this.#parts.control.close(this.#parts.consuming).catch(() => {});
      await Promise.all([this.#parts.publishing.close(), this.#parts.consuming.close()]);
      this.#forgetAll();
      this.#settleClosed(undefined);
    }
    await this.closed;
  }

  /** What was sent over a channel that the broker has closed has no answer any more: as if the connection had broken. */
  #refused(trouble: Error | undefined): void {
    const code = replyCode(trouble);
    if (trouble && code === Reply.accessRefused) return this.drop(accessError('a publish', trouble));
    const why = isExchangeGone(trouble) ? 'The exchange was deleted.' : 'The broker has closed a channel.';
    this.drop(new SessionLostError(why, { cause: trouble }));
  }

  async #tellOf(queue: string): Promise<void> {
    await this.#parts.control.tellKnown(this.known().filter(({ name }) => name === queue));
  }

  #connectionEnded(reason: Error | undefined): void {
    if (this.#end) return;
    this.drop(reason ?? new SessionLostError('The connection has ended.'));
  }

  #finish(reason: Error): void {
    if (this.#end) return;
    this.#end = { reason };
    this.#forgetAll();
    this.#settleClosed(reason);
  }

  #forgetAll(): void {
    this.#name?.stop();
    this.#claims.end();
    void this.#consuming.close();
    for (const transient of [...this.#transients]) void transient.close();
  }

  #check(): void {
    if (this.#end) throw this.#lost();
  }

  #lost(): SessionLostError {
    return new SessionLostError('The session with RabbitMQ has ended.', { cause: this.#end?.reason });
  }
}
