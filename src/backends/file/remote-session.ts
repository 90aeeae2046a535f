import type { Socket } from 'node:net';
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
  Refusals,
  Session,
  TransientQueue,
  TransientSink,
} from '../../backend.js';
import type { Clock, Timer } from '../../model/clock.js';
import { FencedError, ProtocolError, SessionLostError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { unpackEnvelope } from '../../model/packed-fields.js';
import { errorOf } from './error-words.js';
import type { FrameWriter, Word } from './frames.js';
import { Publishings } from './publishings.js';
import { readBytes, readNumber } from './read-word.js';
import { RemoteClaim, RemoteOwnership } from './remote-claim.js';
import { RemoteConsumer } from './remote-consumer.js';
import { RunReader, type RunHead } from './runs.js';
import { SignsOfLife } from './signs-of-life.js';
import { Said, Told, type Calls } from './words.js';

const LETTERS_IN_A_PAGE = 50;

const NO_CLAIM: RunHead = [Said.publish, 0, 0, 0, 0];

const CAPABILITIES: Capabilities = {
  fencing: 'broker',
  depthKind: 'all',
  queueLimit: true,
  queueExpiry: true,
  lingerMs: 0,
  exactHandBack: true,
  growingPrefetch: true,
};

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** How a session's calls reach the hub: what its queues, claims and consumers need of it. */
export interface Wire {
  readonly isOpen: boolean;
  readonly signs: SignsOfLife;
  readonly writer: FrameWriter;
  /** Resolves when the hub has answered; rejects when the session ends before. */
  askWhetherAlive(): Promise<void>;
  call<Name extends keyof Calls>(
    name: Name,
    ...args: Parameters<Calls[Name]>
  ): Promise<ReturnType<Calls[Name]>>;
}

/** A master's session with a hub in another process, over a socket on which the hub has bidden welcome. */
export class RemoteSession implements Session, Wire {
  readonly capabilities = CAPABILITIES;
  readonly closed: Promise<Error | undefined>;
  readonly signs: SignsOfLife;
  readonly writer: FrameWriter;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #ownerTimeoutMs: number;
  readonly #settleClosed: (reason: Error | undefined) => void;
  readonly #publishings = new Publishings();
  /** By their numbers in this session. */
  readonly #calls = new Map<number, Waiter<unknown>>();
  readonly #listeners = new Map<number, TransientSink>();
  readonly #claims = new Map<number, RemoteClaim>();
  readonly #consumers = new Map<number, RemoteConsumer>();
  #numbers = 0;
  #end: { reason: Error | undefined } | undefined;
  /** The number of the call that closes it. */
  #closing: number | undefined;
  #closeTimer: Timer | undefined;

  constructor(
    socket: Socket,
    writer: FrameWriter,
    options: Pick<ConnectOptions, 'environment' | 'ownerTimeoutMs'>,
    sentAt: number,
  ) {
    this.#socket = socket;
    this.writer = writer;
    let settle!: (reason: Error | undefined) => void;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.#settleClosed = settle;
    this.signs = new SignsOfLife(options.environment.clock, {
      timeoutMs: options.ownerTimeoutMs,
      sentAt,
      say: (number) => {
        this.writer.say([Said.ping, number]);
        this.writer.flush();
      },
      silent: () =>
        this.drop(
          new SessionLostError(`The hub gave no answer for ${options.ownerTimeoutMs} ms: it is frozen.`),
        ),
    });
    this.#clock = options.environment.clock;
    this.#ownerTimeoutMs = options.ownerTimeoutMs;
    socket.on('close', () => {
      this.#endEverything(new SessionLostError('The hub has gone.'));
      this.#clock.clearTimeout(this.#closeTimer);
      this.#settleClosed(this.#end?.reason);
    });
  }

  get isOpen(): boolean {
    return !this.#end;
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<Refusals | void> {
    if (this.#end) return Promise.reject(this.#lost());
    let claim = 0;
    if (fence) {
      // One that has only lapsed may still be the owner's: the hub knows, and refuses a former one.
      if (!(fence instanceof RemoteOwnership) || !fence.isHeld)
        return Promise.reject(new FencedError(`Queue "${fence.queue}" has another owner now.`));
      claim = fence.claim.number;
    }
    const run = this.writer.carry(claim === 0 ? NO_CLAIM : [Said.publish, claim, 0, 0, 0], envelope);
    return this.#publishings.add(envelope, run);
  }

  async listen(sink: TransientSink): Promise<TransientQueue> {
    const number = ++this.#numbers;
    this.#listeners.set(number, sink);
    await this.call('listen', number);
    return {
      bind: (pattern) => this.call('bind', number, pattern),
      unbind: (pattern) => this.call('unbind', number, pattern),
      close: async () => {
        if (!this.#listeners.delete(number)) return;
        await this.call('unlisten', number);
      },
    };
  }

  declareQueue(spec: QueueSpec): Promise<void> {
    return this.call('declare', spec);
  }

  findQueue(name: string): Promise<boolean> {
    return this.call('find', name);
  }

  deleteQueue(name: string, options: { whileInUse: boolean }): Promise<void> {
    return this.call('remove', name, options.whileInUse);
  }

  queues(): Promise<QueueStatus[]> {
    return this.call('queues');
  }

  async claim(queue: string, sink: ClaimSink): Promise<Claim> {
    const claim = new RemoteClaim(this, ++this.#numbers, queue, sink, () =>
      this.#claims.delete(claim.number),
    );
    this.#claims.set(claim.number, claim);
    try {
      await this.call('claim', claim.number, queue);
    } catch (error) {
      this.#claims.delete(claim.number);
      throw error;
    }
    return claim;
  }

  async consume(queue: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    const { ownership, prefetch } = options;
    if (ownership && !(ownership instanceof RemoteOwnership && ownership.isHeld))
      throw new FencedError(`This is not the ownership that queue "${queue}" has now.`);
    const number = ++this.#numbers;
    const consumer = new RemoteConsumer(this, number, ownership, sink, () => this.#consumers.delete(number));
    this.#consumers.set(number, consumer);
    try {
      await this.call('consume', number, queue, prefetch, ownership?.claim.number ?? null);
    } catch (error) {
      consumer.finish();
      throw error;
    }
    return consumer;
  }

  async *deadLetters(queue: string): AsyncIterable<DeadLetter> {
    const ids = await this.call('letterIds', queue);
    while (ids.length > 0) {
      const page = await this.call('letters', queue, ids.splice(0, LETTERS_IN_A_PAGE));
      for (const { bytes, ...letter } of page) yield { ...letter, envelope: unpackEnvelope(bytes) };
    }
  }

  redrive(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.call('redrive', queue, ids ?? null);
  }

  dropDeadLetters(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.call('dropLetters', queue, ids ?? null);
  }

  async close(): Promise<void> {
    if (!this.#end) {
      const number = ++this.#numbers;
      this.writer.say([Said.call, number, 'close']);
      // From now on its sinks are silent; only the answer is waited for.
      this.#endEverything(undefined);
      this.#closing = number;
      this.#closeTimer = this.#clock.setTimeout(() => this.#socket.destroy(), this.#ownerTimeoutMs);
    }
    await this.closed;
  }

  /** Ends it without a word to the hub, which notices. */
  drop(reason: Error): void {
    this.#endEverything(reason);
    this.#socket.destroy();
  }

  async askWhetherAlive(): Promise<void> {
    if (this.#end) throw this.#lost();
    await Promise.race([this.signs.ask(), this.closed]);
    if (this.#end) throw this.#lost();
  }

  call<Name extends keyof Calls>(
    name: Name,
    ...args: Parameters<Calls[Name]>
  ): Promise<ReturnType<Calls[Name]>> {
    if (this.#end) return Promise.reject(this.#lost());
    const number = ++this.#numbers;
    this.writer.say([Said.call, number, name, ...args]);
    return new Promise((resolve, reject) =>
      this.#calls.set(number, { resolve: resolve as (value: unknown) => void, reject }),
    );
  }

  /** What the hub says. Throws a ProtocolError for what makes no sense. */
  hear(words: readonly Word[]): void {
    for (const word of words) {
      if (!this.#end) this.#hearOne(word);
      else if (this.#closing !== undefined && word[1] === this.#closing) this.#socket.end();
    }
  }

  #hearOne(word: Word): void {
    if (word[0] === Told.refused) return this.drop(errorOf(word[1]));
    if (word[0] === Told.delivery || word[0] === Told.message)
      return this.#hearRun(word[0], new RunReader(readBytes(word[1])));
    const number = readNumber(word[1]);
    switch (word[0]) {
      case Told.confirmed:
        return this.#publishings.answeredUpTo(number);
      case Told.notTaken:
        return this.#publishings.refuse(number, errorOf(word[2]));
      case Told.result:
        this.#calls.get(number)?.resolve(word[2]);
        this.#calls.delete(number);
        return;
      case Told.failed:
        this.#calls.get(number)?.reject(errorOf(word[2]));
        this.#calls.delete(number);
        return;
      case Told.missed:
        return this.#listeners.get(number)?.missed(readNumber(word[2]));
      case Told.consumerLost:
        return this.#consumers.get(number)?.lost(word[2]);
      case Told.granted:
        return this.#claims.get(number)?.granted(word[2]);
      case Told.standby:
        return this.#claims.get(number)?.standby(word[2]);
      case Told.claimLost:
        return this.#claims.get(number)?.lost(word[2]);
      case Told.full:
        return this.#claims.get(number)?.full(word[2]);
      case Told.pong:
        return this.signs.answered();
      default:
        throw new ProtocolError(`The hub said something unknown (${word[0]}).`);
    }
  }

  #hearRun(kind: number, run: RunReader): void {
    const [number] = run.numbers;
    if (kind === Told.delivery) return this.#consumers.get(number)?.delivered(run);
    const listener = this.#listeners.get(number);
    while (run.next()) listener?.message(unpackEnvelope(run.bytes, run.from, run.to));
  }

  #lost(): SessionLostError {
    return new SessionLostError('The session with the hub has ended.', { cause: this.#end?.reason });
  }

  #endEverything(reason: Error | undefined): void {
    if (this.#end) return;
    this.#end = { reason };
    this.signs.stop();
    for (const { reject } of this.#calls.values()) reject(this.#lost());
    this.#publishings.rejectAll(this.#lost());
    this.#calls.clear();
  }
}
