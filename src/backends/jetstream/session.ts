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
import { SessionLostError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import type { Claims } from './claims.js';
import type { Connection } from './connection.js';
import type { Consuming } from './consuming.js';
import type { StreamConsumers } from './consumers.js';
import type { Announcement, Control, KnownQueue } from './control.js';
import type { DurableQueues } from './durable-queues.js';
import type { Letters } from './letters.js';
import { listQueues } from './listing.js';
import type { MasterName } from './master-name.js';
import type { Masters } from './masters.js';
import type { Names } from './names.js';
import type { Peers } from './peers.js';
import type { Publisher } from './publisher.js';
import type { Settling } from './settling.js';
import type { SignsOfLife } from './signs-of-life.js';
import { JetStreamTransientQueue } from './transient-queue.js';

/** A server gives up a connection that is silent after three of its ping intervals, of two minutes unless changed. */
const LINGER_MS = 360_000;

/** The parts of a session, made by `connect`. */
export interface SessionParts {
  readonly options: ConnectOptions;
  readonly names: Names;
  /** Messages, and what is said of them. */
  readonly connection: Connection;
  /** Everything else: it must not wait behind publishes. */
  readonly side: Connection;
  readonly control: Control;
  readonly masters: Masters;
  readonly signs: SignsOfLife;
  readonly peers: Peers;
  readonly settling: Settling;
  readonly publisher: Publisher;
  readonly queues: DurableQueues;
  readonly letters: Letters;
  readonly events: StreamConsumers;
  readonly letterConsumers: StreamConsumers;
  readonly claims: Claims;
  readonly consuming: Consuming;
}

/** One master's session with NATS JetStream. */
export class JetStreamSession implements Session {
  readonly capabilities: Capabilities = {
    fencing: 'receiver',
    depthKind: 'all',
    queueLimit: false,
    queueExpiry: false,
    lingerMs: LINGER_MS,
    exactHandBack: false,
  };
  readonly closed: Promise<Error | undefined>;
  readonly #parts: SessionParts;
  readonly #settleClosed: (reason: Error | undefined) => void;
  readonly #transients = new Set<JetStreamTransientQueue>();
  #end: { readonly reason: Error | undefined } | undefined;
  #closing: Promise<void> | undefined;
  #name: MasterName | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    let settle!: (reason: Error | undefined) => void;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.#settleClosed = settle;
    for (const connection of [parts.connection, parts.side])
      void connection.closed.then((reason) => this.#connectionEnded(reason));
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
    const { claims, consuming } = this.#parts;
    const [owned, standbys] = [new Set(claims.owned), new Set(claims.standbys)];
    const consumed = consuming.queues;
    return [...new Set([...owned, ...standbys, ...consumed])].map((name) => ({
      name,
      owns: owned.has(name),
      isStandby: standbys.has(name),
      consumes: consumed.has(name),
    }));
  }

  announced({ queue, what }: Announcement): void {
    const { claims, consuming } = this.#parts;
    if (what === 'lease') {
      claims.look(queue);
      void consuming.look(queue).catch(() => {});
    } else {
      claims.redriven(queue);
      consuming.redriven(queue);
    }
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<void> {
    return this.#end ? Promise.reject(this.#lost()) : this.#parts.publisher.publish(envelope, fence);
  }

  async listen(sink: TransientSink): Promise<TransientQueue> {
    this.#check();
    const { connection, options, names, settling } = this.#parts;
    const queue = new JetStreamTransientQueue(sink, {
      connection,
      environment: options.environment,
      prefix: names.eventPrefix,
      settled: () => settling.settled(),
      ended: (one) => this.#transients.delete(one),
    });
    this.#transients.add(queue);
    return queue;
  }

  declareQueue(spec: QueueSpec): Promise<void> {
    return this.#asking(() => this.#parts.queues.declare(spec));
  }

  findQueue(name: string): Promise<boolean> {
    return this.#asking(async () => (await this.#parts.queues.find(name)) !== undefined);
  }

  deleteQueue(name: string, options: { whileInUse: boolean }): Promise<void> {
    return this.#asking(() => this.#parts.queues.delete(name, options));
  }

  queues(): Promise<QueueStatus[]> {
    const { queues, masters, events, letterConsumers, names } = this.#parts;
    return this.#asking(async () =>
      listQueues(queues, await masters.known(), { events, letters: letterConsumers, names }),
    );
  }

  claim(name: string, sink: ClaimSink): Promise<Claim> {
    return this.#asking(async () => {
      await this.#parts.queues.get(name);
      this.#check();
      return this.#parts.claims.claim(name, sink);
    });
  }

  consume(name: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    return this.#asking(() => this.#parts.consuming.consume(name, options, sink));
  }

  async *deadLetters(queue: string): AsyncIterable<DeadLetter> {
    this.#check();
    await this.#parts.queues.get(queue);
    yield* this.#parts.letters.read(queue);
  }

  redrive(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.#asking(async () => {
      const { queues, letters, letterConsumers, names, control } = this.#parts;
      const { lease } = await queues.get(queue);
      if (lease.ownership === 'shared' && ids?.length !== 0) {
        const name = names.sharedAgain(queue);
        await letterConsumers.create({
          name,
          subjects: [names.again(queue)],
          start: 1,
          ackWaitMs: this.#parts.options.ownerTimeoutMs,
        });
        await letterConsumers.keep(name);
      }
      const count = await letters.redrive(queue, ids);
      if (count > 0) control.announce({ queue, what: 'again' });
      return count;
    });
  }

  dropDeadLetters(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.#asking(async () => {
      await this.#parts.queues.get(queue);
      return this.#parts.letters.drop(queue, ids);
    });
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** As if the process had died. */
  drop(reason: Error): void {
    this.#finish(reason);
    this.#dropConnections(reason);
  }

  async #close(): Promise<void> {
    if (!this.#end) {
      const { consuming, claims, connection, side } = this.#parts;
      this.#end = { reason: undefined };
      // What goes wrong here, the end of the connection sets right.
      await consuming.close().catch(() => {});
      await claims.leave().catch(() => {});
      await Promise.all([...this.#transients].map((transient) => transient.close().catch(() => {})));
      await this.#name?.giveBack().catch(() => {});
      await Promise.all([connection.close(), side.close()]);
      this.#forgetAll();
      this.#settleClosed(undefined);
    }
    await this.closed;
  }

  #connectionEnded(reason: Error | undefined): void {
    if (this.#end) return;
    const why = reason ?? new SessionLostError('The connection has ended.');
    this.#finish(why);
    this.#dropConnections(why);
  }

  /** They live and die together. */
  #dropConnections(reason: Error): void {
    this.#parts.connection.drop(reason);
    this.#parts.side.drop(reason);
  }

  #finish(reason: Error): void {
    if (this.#end) return;
    this.#end = { reason };
    this.#forgetAll();
    this.#settleClosed(reason);
  }

  #forgetAll(): void {
    const { signs, peers, claims, consuming } = this.#parts;
    this.#name?.stop();
    signs.stop();
    peers.stop();
    claims.end();
    consuming.end();
    for (const transient of [...this.#transients]) void transient.close().catch(() => {});
  }

  async #asking<T>(work: () => Promise<T>): Promise<T> {
    this.#check();
    try {
      return await work();
    } catch (thrown) {
      throw this.#end ? this.#lost() : thrown;
    }
  }

  #check(): void {
    if (this.#end) throw this.#lost();
  }

  #lost(): SessionLostError {
    return new SessionLostError('The session with NATS has ended.', { cause: this.#end?.reason });
  }
}
