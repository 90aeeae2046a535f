import type {
  Capabilities,
  Claim,
  ClaimSink,
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
import type { Hub, Listener } from './hub.js';
import { HubClaim, HubOwnership } from './hub-claim.js';
import { HubConsumer } from './hub-consumer.js';

/** One master's session with a hub in the same process. */
export class HubSession implements Session {
  readonly capabilities: Capabilities = {
    fencing: 'broker',
    depthKind: 'all',
    queueLimit: true,
    queueExpiry: true,
    growingPrefetch: true,
    lingerMs: 0,
    exactHandBack: true,
  };
  readonly closed: Promise<Error | undefined>;
  readonly #hub: Hub;
  readonly #confirmed: () => Promise<void>;
  readonly #settleClosed: (reason: Error | undefined) => void;
  readonly #transients = new Set<HubTransient>();
  readonly #claims = new Set<HubClaim>();
  readonly #consumers = new Set<HubConsumer>();
  #end: { reason: Error | undefined } | undefined;
  /** Whether whoever listens here keeps up: while it does not, deliveries wait. */
  keepsUp: () => boolean = () => true;

  /** `confirmed` resolves once what was published before is safe. */
  constructor(
    hub: Hub,
    readonly master: string,
    readonly incarnation: string,
    confirmed: () => Promise<void>,
  ) {
    this.#hub = hub;
    this.#confirmed = confirmed;
    let settle!: (reason: Error | undefined) => void;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.#settleClosed = settle;
    hub.members.set(master, this);
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<void> {
    const refusal = this.post(envelope, fence);
    return refusal ? Promise.reject(refusal) : this.#confirmed();
  }

  /** As `publish`, but says at once what refuses it; otherwise it is safe after the next flush. */
  post(envelope: Envelope, fence: Ownership | undefined): Error | undefined {
    if (this.#end) return this.#lost();
    if (fence && !fence.valid()) return new FencedError(`Queue "${fence.queue}" has another owner now.`);
    const { refusal } = this.#hub.journal;
    if (refusal) return refusal;
    const full = this.#hub.publish(envelope);
    return full && new QueueFullError(full);
  }

  /** What is done here is one operation: everybody hears of it when all of it is done. */
  together(act: () => void): void {
    this.#hub.operations.run(act);
  }

  afterFlush(callback: () => void): void {
    this.#hub.journal.afterFlush(callback);
  }

  /** Whoever listens here keeps up again: deliveries go on. */
  resume(): void {
    this.#hub.operations.run(() => {
      for (const { queue } of this.#consumers) this.#hub.operations.callLater(queue);
    });
  }

  async listen(sink: TransientSink): Promise<TransientQueue> {
    this.#check();
    const queue = new HubTransient(
      this.#hub,
      sink,
      () => this.#check(),
      () => this.#transients.delete(queue),
    );
    this.#transients.add(queue);
    return queue;
  }

  async declareQueue(spec: QueueSpec): Promise<void> {
    this.#check();
    this.#hub.declare(spec);
    await this.#confirmed();
  }

  async findQueue(name: string): Promise<boolean> {
    this.#check();
    return this.#hub.queues.has(name);
  }

  async deleteQueue(name: string, options: { whileInUse: boolean }): Promise<void> {
    this.#check();
    this.#hub.delete(name, options);
    await this.#confirmed();
  }

  async queues(): Promise<QueueStatus[]> {
    this.#check();
    return [...this.#hub.queues.values()].map((queue) => queue.status());
  }

  async claim(name: string, sink: ClaimSink): Promise<Claim> {
    this.#check();
    const claim = new HubClaim(
      this.#hub,
      this.#hub.queue(name),
      this.master,
      sink,
      this.#confirmed,
      () => this.isLive,
    );
    this.#claims.add(claim);
    claim.ended = () => this.#claims.delete(claim);
    this.#hub.operations.run(() => claim.start());
    return claim;
  }

  async consume(name: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    this.#check();
    const queue = this.#hub.queue(name);
    const { ownership } = options;
    const owns = ownership instanceof HubOwnership && ownership.claim.queue === queue && ownership.valid();
    if (queue.spec.ownership === 'exclusive' && !owns)
      throw new FencedError(`Queue "${name}" is exclusive, and this is not the ownership that it has now.`);
    if (queue.spec.ownership === 'exclusive' && queue.takers.length > 0)
      throw new QueueInUseError(`Queue "${name}" is exclusive, and its owner consumes it already.`);
    // A shared queue takes none: its consumers do not end with their keeper.
    const taken = queue.spec.ownership === 'exclusive' ? options : { ...options, ownership: undefined };
    const consumer = new HubConsumer(this.#hub, queue, taken, sink, this.#confirmed, this);
    this.#consumers.add(consumer);
    consumer.ended = () => this.#consumers.delete(consumer);
    this.#hub.operations.run(() => consumer.start());
    return consumer;
  }

  async *deadLetters(name: string): AsyncIterable<DeadLetter> {
    yield* [...this.letters(name).values()];
  }

  /** The dead letters of a queue by their names, oldest first. */
  letters(name: string): ReadonlyMap<string, DeadLetter> {
    this.#check();
    return this.#hub.queue(name).letters;
  }

  async redrive(name: string, ids: readonly string[] | undefined): Promise<number> {
    this.#check();
    const queue = this.#hub.queue(name);
    const letters = queue.takeLetters(ids);
    this.#hub.operations.run(() => {
      for (const letter of letters) queue.append(letter.envelope, letter.redrives + 1);
    });
    await this.#confirmed();
    return letters.length;
  }

  async dropDeadLetters(name: string, ids: readonly string[] | undefined): Promise<number> {
    this.#check();
    const dropped = this.#hub.queue(name).takeLetters(ids).length;
    await this.#confirmed();
    return dropped;
  }

  async close(): Promise<void> {
    this.#finish(undefined);
    await this.closed;
  }

  /** As if the connection had broken: what was delivered comes again, flagged. */
  drop(reason: Error): void {
    this.#finish(reason);
  }

  #finish(reason: Error | undefined): void {
    if (this.#end) return;
    this.#end = { reason };
    this.#hub.operations.run(() => {
      for (const transient of [...this.#transients]) void transient.close();
      for (const consumer of [...this.#consumers]) consumer.end(reason ? 'crashed' : 'closed');
      // Consumers first: their messages are in place before a successor is granted.
      for (const claim of [...this.#claims]) claim.end();
    });
    if (this.#hub.members.get(this.master) === this) this.#hub.members.delete(this.master);
    this.#settleClosed(reason);
  }

  /** At the end of the session its sinks stay silent. */
  get isLive(): boolean {
    return !this.#end;
  }

  #check(): void {
    if (this.#end) throw this.#lost();
  }

  #lost(): SessionLostError {
    return new SessionLostError('The session with the hub has ended.', { cause: this.#end?.reason });
  }
}

class HubTransient implements TransientQueue, Listener {
  isOpen = true;
  readonly #patterns = new Set<string>();

  constructor(
    readonly hub: Hub,
    readonly sink: TransientSink,
    readonly check: () => void,
    readonly ended: () => void,
  ) {}

  async bind(pattern: string): Promise<void> {
    this.check();
    if (!this.isOpen) throw new SessionLostError('The transient queue was closed.');
    this.hub.bind(pattern, this);
    this.#patterns.add(pattern);
  }

  async unbind(pattern: string): Promise<void> {
    this.check();
    this.#patterns.delete(pattern);
    this.hub.unbind(pattern, this);
  }

  async close(): Promise<void> {
    this.isOpen = false;
    for (const pattern of this.#patterns) this.hub.unbind(pattern, this);
    this.#patterns.clear();
    this.ended();
  }
}
