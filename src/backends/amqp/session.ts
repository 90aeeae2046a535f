import type { ConfirmChannel } from 'amqplib';
import type {
  Capabilities,
  Claim,
  ClaimSink,
  ConnectOptions,
  ConsumeOptions,
  Consumer,
  ConsumerSink,
  DeadLetter,
  Ownership,
  QueueSpec,
  QueueStatus,
  Session,
  TransientQueue,
  TransientSink,
} from '../../backend.js';
import { FencedError, QueueFullError, QueueInUseError, SessionLostError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { accessError, isExchangeGone, isNack, queueError, replyCode, Reply } from './broker-errors.js';
import { AmqpClaim } from './claim.js';
import type { Connection } from './connection.js';
import { AmqpConsumer } from './consumer.js';
import type { Control, KnownQueue } from './control.js';
import type { Direct } from './direct.js';
import type { DurableQueues } from './durable-queues.js';
import type { KnownQueues } from './known-queues.js';
import type { Letters } from './letters.js';
import { listQueues } from './listing.js';
import type { MasterName } from './master-name.js';
import type { Names } from './names.js';
import { AmqpOwnership } from './ownership.js';
import { pack } from './properties.js';
import { AmqpTransientQueue } from './transient-queue.js';
import { WorkChannel } from './work-channel.js';

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
  readonly events: ConfirmChannel;
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
  readonly #claims = new Set<AmqpClaim>();
  readonly #consumers = new Set<AmqpConsumer>();
  readonly #shared = new Map<string, WorkChannel>();
  readonly #specs = new Map<string, QueueSpec>();
  #blocked: { readonly reason: string } | undefined;
  #whenBlocked: (() => void)[] = [];
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
    let trouble: Error | undefined;
    events.on('error', (error: Error) => (trouble ??= error));
    events.on('close', () => this.#refused(trouble));
    parts.direct.onClosed((refusal) => this.#refused(refusal));
    publishing.onBlocked(
      (reason) => {
        this.#blocked = { reason };
        for (const tell of this.#whenBlocked.splice(0)) tell();
        if (this.isLive) options.sink.blocked(reason);
      },
      () => {
        this.#blocked = undefined;
        if (this.isLive) options.sink.unblocked();
      },
    );
  }

  get isLive(): boolean {
    return !this.#end;
  }

  /** The session holds the name of its master. */
  named(name: MasterName): void {
    this.#name = name;
  }

  /** A queue that another master has told of. */
  learn(queues: readonly KnownQueue[]): void {
    const { known } = this.#parts;
    for (const { name, ownership, role, bindings } of queues) {
      known.note(name, ownership);
      if (role === 'owner' || (bindings.length > 0 && known.bindings(name).length === 0))
        known.noteBindings(name, bindings);
    }
  }

  /** What this master tells others. */
  known(): KnownQueue[] {
    const claims = new Map([...this.#claims].map((claim) => [claim.queue, claim]));
    const consumed = new Set([...this.#consumers].map(({ queue }) => queue));
    const { known } = this.#parts;
    return known.names.map((name) => {
      const claim = claims.get(name);
      const owned = claim?.ownership;
      const role = owned ? 'owner' : claim ? 'standby' : consumed.has(name) ? 'consumer' : undefined;
      const { epoch = 0, bindings = known.bindings(name) } = owned ?? {};
      const ownership = known.ownership(name);
      return { name, ownership, role, epoch, bindings, consumes: consumed.has(name) };
    });
  }

  heardOf(queue: string, holder: Parameters<AmqpClaim['heard']>[0]): void {
    for (const claim of this.#claims) if (claim.queue === queue) claim.heard(holder);
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<void> {
    if (this.#end) return Promise.reject(this.#lost());
    if (fence && !(fence instanceof AmqpOwnership && fence.isHeld))
      return Promise.reject(new FencedError(`The ownership of queue "${fence.queue}" has ended.`));
    return new Promise((resolve, reject) => {
      try {
        const { body, options } = pack(envelope, fence);
        this.#parts.events.publish(
          this.#parts.names.events,
          envelope.topic,
          body,
          options,
          (error: unknown) => {
            if (!error) resolve();
            else reject(isNack(error) ? new QueueFullError([]) : this.#lost());
          },
        );
      } catch (thrown) {
        reject(this.#end ? this.#lost() : thrown);
      }
    });
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
    this.#specs.set(spec.name, spec);
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
    for (const { queues } of answers) this.learn(queues);
    return listQueues(answers, this.#parts.queues, (name) => this.#parts.known.forget(name));
  }

  async claim(name: string, sink: ClaimSink): Promise<Claim> {
    this.#check();
    const { consuming, direct, control, queues, names, options, heartbeatMs } = this.#parts;
    await queues.check(name);
    this.#check();
    this.#parts.known.note(name);
    const claim = new AmqpClaim(name, sink, {
      connection: consuming,
      direct,
      control,
      queues,
      names,
      environment: options.environment,
      master: options.master,
      heartbeatMs,
      isLive: () => this.isLive,
      isBlocked: () => this.#blocked !== undefined,
      whenBlocked: () => new Promise((resolve) => this.#whenBlocked.push(resolve)),
      specOf: (queue) => this.#specs.get(queue),
      consumerOf: (ownership) => [...this.#consumers].find((consumer) => consumer.ownership === ownership),
      bound: (queue, bindings) => {
        this.#parts.known.noteBindings(queue, bindings);
        void this.#tellOf(queue).catch(() => {});
      },
      ended: (one) => this.#claims.delete(one),
    });
    this.#claims.add(claim);
    try {
      await claim.open();
    } catch (thrown) {
      claim.end();
      throw this.#end ? this.#lost() : queueError(thrown, name);
    }
    return claim;
  }

  async consume(name: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    this.#check();
    const { consuming, queues, letters, names } = this.#parts;
    const ownership = options.ownership instanceof AmqpOwnership ? options.ownership : undefined;
    const isExclusive = ownership !== undefined || (await this.#isExclusive(name));
    this.#check();
    if (isExclusive) {
      const owns = ownership?.queue === name && ownership.valid();
      if (!owns) {
        await queues.check(name);
        throw new FencedError(`Queue "${name}" is exclusive, and this is not the ownership that it has now.`);
      }
      if ([...this.#consumers].some((consumer) => consumer.ownership === ownership))
        throw new QueueInUseError(`Queue "${name}" is exclusive, and its owner consumes it already.`);
    } else await queues.check(name);
    const consumer = new AmqpConsumer(
      name,
      isExclusive ? ownership : undefined,
      options.prefetch,
      {
        delivery: (delivery) => {
          if (this.isLive) sink.delivery(delivery);
        },
        lost: (reason) => this.#consumerLost(consumer, sink, reason),
      },
      {
        channel: isExclusive ? new WorkChannel(consuming, name, names.work(name)) : this.#sharedChannel(name),
        environment: this.#parts.options.environment,
        letters,
        consumerTimeoutMs: this.#parts.consumerTimeoutMs,
        ended: (one) => this.#consumers.delete(one),
      },
    );
    this.#consumers.add(consumer);
    try {
      await consumer.open();
    } catch (thrown) {
      await consumer.close();
      throw this.#end ? this.#lost() : queueError(thrown, name);
    }
    return consumer;
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
      await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
      await Promise.all([...this.#claims].map((claim) => claim.leave()));
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
    for (const claim of [...this.#claims]) claim.end();
    for (const consumer of [...this.#consumers]) void consumer.close();
    for (const transient of [...this.#transients]) void transient.close();
  }

  #consumerLost(consumer: AmqpConsumer, sink: ConsumerSink, reason: Error): void {
    if (!this.isLive || !this.#parts.consuming.isOpen) return;
    const { ownership } = consumer;
    const claim = ownership && [...this.#claims].find((one) => one.ownership === ownership);
    if (claim && !(reason instanceof SessionLostError)) claim.lost(reason);
    else sink.lost(reason);
  }

  /** All that consume a shared queue over this session share one. */
  #sharedChannel(name: string): WorkChannel {
    for (const [queue, channel] of this.#shared) if (!channel.isUsed) this.#shared.delete(queue);
    const { consuming, names } = this.#parts;
    const channel = this.#shared.get(name) ?? new WorkChannel(consuming, name, names.work(name));
    this.#shared.set(name, channel);
    return channel;
  }

  async #isExclusive(name: string): Promise<boolean> {
    const { known } = this.#parts;
    const isToldOf = () => known.ownership(name) !== undefined;
    if (!isToldOf()) {
      await this.#parts.queues.check(name);
      for (const { queues } of await this.#parts.control.ask()) this.learn(queues);
    }
    // Of one that nobody knows the stricter is right: whoever declares it knows.
    return known.ownership(name) !== 'shared';
  }

  #check(): void {
    if (this.#end) throw this.#lost();
  }

  #lost(): SessionLostError {
    return new SessionLostError('The session with RabbitMQ has ended.', { cause: this.#end?.reason });
  }
}
