import type { Envelope } from './model/message.js';
import type { Environment } from './model/clock.js';

/*
 * The contract between signalbox and a broker. A backend moves messages and decides nothing: no retry, no policy, no
 * user code. What it must do is a case of the conformance suite (`signalbox/testing`); what it cannot do it refuses with
 * an UnsupportedError and says in `capabilities`.
 *
 * Sinks never throw. One may be told before the call that took it has resolved. At the end of the session they stay
 * silent: `closed` tells. While the broker takes no publishes (`blocked`), `publish`, `Ownership.bind`, `Ownership.save`
 * and `Delivery.reject` may wait, and nobody is granted; everything else goes on.
 */

/** A kind of broker. */
export interface Backend {
  /** For people: never holds a password. */
  readonly name: string;
  /**
   * One attempt. Rejects with an error whose `retryable` says whether another attempt may succeed. An earlier session of the
   * same master and incarnation ends, as if its connection had broken.
   */
  connect(options: ConnectOptions): Promise<Session>;
}

export interface ConnectOptions {
  readonly namespace: string;
  readonly master: string;
  /** One run of the master: a living holder of the name with another incarnation refuses this one. */
  readonly incarnation: string;
  /** Silence after which a master, owner or not, is taken for frozen. */
  readonly ownerTimeoutMs: number;
  readonly environment: Environment;
  /** Gives up the attempt; without effect on a session that is established. */
  readonly signal: AbortSignal;
  readonly sink: SessionSink;
}

export interface SessionSink {
  /** The broker takes no publishes for now. Deliveries and acks go on. */
  blocked(reason: string): void;
  unblocked(): void;
  /** Something that people should know and that stops nothing. */
  warning(code: string, text: string): void;
}

/** Of messages that share an answer, those that were not taken, and why. */
export type Refusals = ReadonlyMap<Envelope, Error>;

/** One established broker connection. Every call after its end rejects with a SessionLostError. */
export interface Session {
  /** Told by what was read back, not by a version number alone. */
  readonly capabilities: Capabilities;
  /** Settles once, at the end: undefined after `close`, else why. Every ownership has ended by then. */
  readonly closed: Promise<Error | undefined>;

  /**
   * Resolves once the broker has taken responsibility: every durable queue that matches has the message. A message that
   * matches none is dropped, and resolves. Sent in the order of the calls, with no retry inside. A SessionLostError leaves
   * the outcome unknown; any other error says that nothing was taken, except a QueueFullError: other queues may have it.
   * With a fence, about which the caller has asked `valid()` in the same turn: FencedError once the ownership has ended.
   * The backend writes what receivers need of the fence; what `envelope.fence` holds is ignored.
   *
   * Messages published one after the other that the broker answers for with one word may share a promise. It resolves when
   * all of them have their answer, with those that were refused; a message that has its promise alone rejects.
   */
  publish(envelope: Envelope, fence?: Ownership): Promise<Refusals | void>;

  /** A transient queue of this session's own: it and its bindings die with the session. */
  listen(sink: TransientSink): Promise<TransientQueue>;

  /**
   * Creates a durable queue without bindings, or finds the one of that name. Other settings: QueueSettingsError that names
   * the differences that the broker tells, at least one.
   */
  declareQueue(spec: QueueSpec): Promise<void>;
  /** Whether there is such a queue, with all its parts. Creates nothing. */
  findQueue(name: string): Promise<boolean>;
  /**
   * Resolves when it is gone, with what it held, dead letters included. QueueInUseError if anybody consumes it, or stands
   * by where the broker knows of that, and `whileInUse` is false.
   */
  deleteQueue(name: string, options: { whileInUse: boolean }): Promise<void>;
  queues(): Promise<QueueStatus[]>;

  /**
   * Stands for the ownership of a declared queue: of an exclusive one whoever consumes must own it, of a shared one the
   * owner only keeps its bindings. Pushed, not polled. QueueNotFoundError if there is no such queue.
   */
  claim(queue: string, sink: ClaimSink): Promise<Claim>;

  /**
   * Deliveries in the order of the queue, at most `prefetch` of them unsettled. An exclusive queue takes the ownership
   * that `claim` granted, a shared one none. Returned and given back messages come first, in order. Rejects with a
   * QueueNotFoundError; with a FencedError if the ownership is not the one of now; with a QueueInUseError if it has a consumer
   * already: two would have no order between them.
   */
  consume(queue: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer>;

  /*
   * Of a queue that does not exist: QueueNotFoundError, of an iteration at its first step.
   */
  /** The dead letters of a queue, oldest first. Ends with those that were there at the start. */
  deadLetters(queue: string): AsyncIterable<DeadLetter>;
  /**
   * Puts letters at the tail of their own queue: same id, attempt 1, flagged. Also letters that a `deadLetters()` of this
   * session holds. Resolves with how many.
   */
  redrive(queue: string, ids: readonly string[] | undefined): Promise<number>;
  dropDeadLetters(queue: string, ids: readonly string[] | undefined): Promise<number>;

  /**
   * Ends consumers and claims that are still open, consumers first. When it resolves, everything transient is gone, and what
   * was delivered and not settled is back in its queue, in order. It is no clean hand-over: a successor flags at least what a
   * handler had begun.
   */
  close(): Promise<void>;
}

export interface Capabilities {
  /** Who refuses a former owner's publish: the broker itself, or the consumers by the epoch it carries. */
  readonly fencing: 'broker' | 'receiver';
  readonly depthKind: 'all' | 'ready';
  /** `limit` of a queue. */
  readonly queueLimit: boolean;
  /** `expiresMs` of a queue. */
  readonly queueExpiry: boolean;
  /** How long after the end of a session, as seen here, the broker may still take what was sent over it. */
  readonly lingerMs: number;
  /** A shared queue's given-back messages come flagged only if a handler has begun them. */
  readonly exactHandBack: boolean;
  /** A consumer may be allowed more in hand than its `prefetch`, while it consumes. Unsaid, it may not. */
  readonly growingPrefetch?: boolean;
}

export interface TransientSink {
  /** Once for each message, however many bindings match, in each producer's order. */
  message(envelope: Envelope): void;
  /** Messages were left out because this side did not keep up; how many, if the broker knows. Not every broker tells. */
  missed(count: number | undefined): void;
}

/** Patterns are given in their normal form. */
export interface TransientQueue {
  /** Resolves once every message published from now on, by any master, is received. Bound twice is bound once. */
  bind(pattern: string): Promise<void>;
  /** When it resolves, the broker holds nothing of that binding. */
  unbind(pattern: string): Promise<void>;
  close(): Promise<void>;
}

/** The settings of a durable queue: whoever declares it again must give the same. Bindings are not among them. */
export interface QueueSpec {
  readonly name: string;
  readonly ownership: 'exclusive' | 'shared';
  /**
   * How many messages may wait; what is delivered and not settled does not count. `reject-publish` refuses the next one,
   * `drop-oldest` drops the oldest that waits. What is given back is not refused, and may take the queue past its limit; a
   * broker may then drop the oldest at once.
   */
  readonly limit:
    { readonly messages: number; readonly onFull: 'reject-publish' | 'drop-oldest' } | undefined;
  /** Deleted after so long without any consumer, standbys included. A whole number from 1. */
  readonly expiresMs: number | undefined;
  readonly queueType: 'quorum' | 'classic' | undefined;
}

export interface QueueStatus {
  readonly name: string;
  readonly ownership: 'exclusive' | 'shared';
  readonly bindings: readonly string[];
  readonly depth: number;
  readonly depthKind: 'all' | 'ready';
  readonly owner: string | undefined;
  readonly epoch: number;
  readonly standbys: readonly string[];
  readonly state: 'idle' | 'standby' | 'active';
  /** Unix time in milliseconds of the oldest message's publishing, where the broker tells. */
  readonly oldestAt: number | undefined;
}

export interface ClaimSink {
  /** This session owns the queue from now on. */
  granted(ownership: Ownership): void;
  /** Another master owns it, and its bindings are in place. Told again for each new owner, and after `fenced`. */
  standby(holder: Holder): void;
  /**
   * The ownership has ended though the claim stands: a higher epoch exists, or asking had no answer. `valid()` is false
   * and its consumer has ended without a word; `granted` or `standby` follows.
   */
  fenced(reason: Error): void;
  /** The queue is gone, and the claim with it. Its consumer ends without a word. */
  lost(reason: Error): void;
  /**
   * To the owner: `waiting` messages wait, as many as the `limit` of the queue allows or more. Once after `granted` if it is so
   * then, and then each time it becomes so after at most half as many waited. Now and then a look is enough: a broker need
   * not tell of what lasted for less than a few seconds.
   */
  full(waiting: number): void;
}

/** Who owns a queue. */
export interface Holder {
  readonly owner: string;
  readonly epoch: number;
  readonly queueId: string;
}

export interface Claim {
  /**
   * Ends the claim, and the ownership without a clean hand-over if it is held. Resolves when another may be granted.
   * Without effect after `release`.
   */
  withdraw(): Promise<void>;
}

/** The right to consume a queue and to change its record. Ends with its session. */
export interface Ownership {
  readonly queue: string;
  /** Names this life of the queue: deleted and created again, or its record lost, is another. */
  readonly queueId: string;
  /** Grows at each change of owner. */
  readonly epoch: number;
  /** As found at the grant: what the last successful `save` kept, by whichever owner. */
  readonly checkpoint: Uint8Array | undefined;
  /**
   * Whether this side may act now; costs less than a microsecond, and is asked before every dispatch, settle, save and
   * fenced publish. False when it has ended, and while it has lapsed: no sign of life was answered in time.
   */
  valid(): boolean;
  /** Asks at once. Resolves when valid again under the same epoch; rejects with a FencedError when it has ended. */
  revalidate(): Promise<void>;
  /**
   * Makes the queue's bindings these, given in their normal form: new ones are added before old ones are removed. What the queue holds stays in it,
   * also under a pattern that is removed; a new pattern brings nothing that was published before the call.
   */
  bind(patterns: readonly string[]): Promise<void>;
  /**
   * Resolves once the checkpoint is proven to be what a successor gets; only then are `settled` acked. The caller has asked
   * `valid()` in the same turn.
   */
  save(checkpoint: Uint8Array, settled: readonly Delivery[]): Promise<void>;
  /**
   * Clean hand-over, after the consumer was closed: the successor flags only what a handler had begun. Ends the claim too.
   * Never waits for a blocked broker: then the successor flags what the broker flags.
   */
  release(): Promise<void>;
}

export interface ConsumeOptions {
  readonly prefetch: number;
  readonly ownership: Ownership | undefined;
}

export interface ConsumerSink {
  delivery(delivery: Delivery): void;
  /**
   * No more deliveries will come though the session lives; `retryable` says whether consuming again may succeed. Not
   * called for an exclusive queue that is deleted (its claim is told), nor after `fenced` or `close`.
   */
  lost(reason: Error): void;
}

export interface Consumer {
  /** From now on at most so many are in hand, those that are too many already aside. With `growingPrefetch` only. */
  readonly allow?: (inHand: number) => void;
  /** Ends the deliveries and gives back, in order, what is not settled. Resolves when all settlements are processed. */
  close(): Promise<void>;
}

/**
 * One attempt to hand over a message. Settling is refused in silence once the ownership or the session has ended; while it
 * has only lapsed, the caller keeps the settlement, since it asks `valid()` before each.
 */
export interface Delivery {
  readonly envelope: Envelope;
  /** A handler may have been called with it before. */
  readonly redelivered: boolean;
  /** Handler calls known to have begun, over all masters, and one: the number of the next. */
  readonly attempt: number;
  /** Puts a letter back: 0, or how often it was redriven. Duplicates are recognised by id and redrive number. */
  readonly redrives: number;
  /**
   * Notes that a handler call begins, the `attempt`th over all masters; called before each. If it returns a promise, the
   * call waits for it: the note must survive a crash of this process. Undefined: it is noted by the end of this turn, or,
   * while the broker takes no publishes, not at all; the attempt is then a lower bound. A message that is `redelivered` is
   * always waited for where notes are kept, since it may be the one that kills its process.
   */
  begin(attempt: number): Promise<void> | undefined;
  /** The call that has begun was cut off by a proper stop: it does not count as an attempt. Kept with the release. */
  cutOff(): void;
  ack(): void;
  /** Moves it to the dead letters. A rejection leaves it unsettled. */
  reject(letter: LetterDetails): Promise<void>;
}

export interface LetterDetails {
  readonly reason: 'attempts' | 'rejected' | 'undecodable' | 'invalid' | 'refused';
  readonly error: string;
  readonly attempts: number;
  /** Failed attempts that the one who rejects knows of, the latest 20 at most, oldest first. */
  readonly history: readonly FailedAttempt[];
}

export interface FailedAttempt {
  readonly attempt: number;
  /** Unix time in milliseconds. */
  readonly at: number;
  /** At most 1,000 characters. */
  readonly error: string;
}

export interface DeadLetter extends LetterDetails {
  /** Stable name of the letter: queue, message id and redrive number. */
  readonly id: string;
  readonly envelope: Envelope;
  /** Unix time in milliseconds. */
  readonly at: number;
}
