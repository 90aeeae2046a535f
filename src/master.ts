import type { AnyActorRef, AnyStateMachine } from 'xstate';
import { createGroups } from '../actors/groups.js';
import { masterMachine, type MasterStatus } from '../actors/master.js';
import { createRoot } from '../actors/start.js';
import type { QueueStatus } from './backend.js';
import { Deferred } from './flow/deferred.js';
import { Drains } from './flow/drains.js';
import { Dispatcher } from './flow/dispatcher.js';
import { Events } from './flow/events.js';
import type { Spool } from './flow/spool.js';
import { Link } from './flow/link.js';
import { Tally } from './flow/tally.js';
import { Turns } from './flow/turns.js';
import { findBackend } from './master/broker.js';
import { Calls, withCalls } from './master/calls.js';
import { Connection } from './master/connection.js';
import type { ConsumerHandle } from './master/consumer.js';
import { Consumers } from './master/consumers.js';
import { formerOwner } from './master/former-owner.js';
import type { MasterContext } from './master/context.js';
import { checkEventName, type MasterEvents } from './master/events.js';
import {
  checkKeys,
  checkMasterOptions,
  positive,
  type Limits,
  type MasterOptions,
  type StopOptions,
  type SubscribeOptions,
} from './master/options.js';
import type { DeadLetter } from './master/letters.js';
import { Queues, type CallOptions, type DeleteQueueOptions, type LettersOptions } from './master/queues.js';
import { Meter, type Metrics } from './master/metrics.js';
import { Publishing } from './master/publishing.js';
import { makeMaster, untilReady } from './master/start.js';
import { Schedulers } from './master/schedulers.js';
import type { ScheduleOptionsOf } from './master/scheduling.js';
import type { SubscriptionHandle } from './master/subscriber.js';
import { Subscribers } from './master/subscribers.js';
import type { ConsumeOptionsOf, HandlerOf, PublishOf, WaitResult } from './master/typed-calls.js';
import type { WaitForOptions } from './master/wait-for.js';
import { ConnectError, StoppedError, toError } from './model/errors.js';
import type { TopicInput } from './model/topic.js';
import type {
  CheckPatterns,
  MaybeCatalogue,
  MessageOf,
  PatternInput,
  PatternsOf,
} from './model/typed-message.js';

/** A child that does not end within its drain, and so long after it, is stopped by force. */
const KILL_AFTER_DRAIN_MS = 2_000;

/**
 * Connects a master to its broker. Resolves when it is ready; rejects at once with what cannot heal (a name that is
 * taken, an unknown scheme, a password), and after `connectTimeoutMs` with a ConnectError. Its signal gives the start up:
 * it rejects with the signal's reason once the master has stopped; later it has no meaning.
 */
export async function createMaster<C extends MaybeCatalogue = undefined>(
  options: MasterOptions<C>,
): Promise<Master<C>> {
  const master = await makeMaster(options, (spool) => new Master<C>(options, spool));
  return untilReady(master, options.signal);
}

/** One runtime in one process: made by `createMaster`. With a catalogue it publishes and hands over what that defines. */
export class Master<C extends MaybeCatalogue = undefined> {
  readonly name: string;
  /** The root actor, for an inspector. */
  readonly actor: AnyActorRef;
  /** Settles when the master has stopped; rejects when the broker refused it for good or its supervisor gave up. */
  readonly done: Promise<void>;
  /** Resolves with a receipt once the broker has taken responsibility. TimeoutError at the deadline; it never hangs. */
  readonly publish: PublishOf<C>;
  readonly #limits: Limits;
  readonly #queues: Queues;
  readonly #drains: Drains;
  readonly #events = new Events<MasterEvents>();
  readonly #ready = new Deferred<void>();
  readonly #done = new Deferred<void>();
  readonly #connection: Connection;
  readonly #subscribers: Subscribers;
  readonly #consumers: Consumers;
  readonly #meter: Meter;
  readonly #calls: Calls;
  readonly #untyped: Master;
  #status: MasterStatus = 'starting';
  #gaveUp: Error | undefined;

  /** @internal `createMaster` opens the spool first. */
  constructor(options: MasterOptions<C>, spool?: Spool) {
    const limits = (this.#limits = checkMasterOptions(options));
    const backend = findBackend(options.broker, limits);
    const { clock, random } = limits.environment;
    const incarnation = limits.environment.randomId();
    const link = new Link();
    const drains = (this.#drains = new Drains(clock, limits.drainTimeoutMs));
    const events = this.#events;
    const turns = new Turns(clock, (error) =>
      events.emit('warning', { code: 'INTERNAL', text: toError(error).message }),
    );
    const tally = new Tally();
    this.#queues = new Queues({ limits, link });
    const publishing = new Publishing({ limits, link, drains, events, incarnation, spool, tally });
    this.name = limits.name;
    this.done = this.#done.promise;
    this.#connection = new Connection({ backend, limits, link, drains, events, incarnation });
    const dispatcher = new Dispatcher({
      turns,
      producerMemoryMs: limits.producerMemoryMs,
      missed: (count) => this.#subscribers.missed(count),
      former: (envelope) => events.emit('warning', formerOwner(envelope)),
    });
    const context: MasterContext = {
      limits,
      clock,
      link,
      drains,
      turns,
      tally,
      events,
      dispatcher,
      publisher: (fence, catalogue) => publishing.publisher(fence, catalogue),
      startChild: (child) =>
        this.#supervisor().send({
          type: 'child.start',
          child: {
            ...child,
            restart: 'on-crash',
            shutdownMs: () => drains.timeoutMs + KILL_AFTER_DRAIN_MS,
          },
        }),
      stopChild: (id) => this.#supervisor().send({ type: 'child.stop', id }),
    };
    this.#subscribers = new Subscribers(context);
    this.#consumers = new Consumers(context);
    const schedulers = new Schedulers(context, this.#consumers);
    this.#meter = new Meter({
      ...{ events, tally, spool, outbox: publishing.outbox },
      ...{ subscribers: this.#subscribers, consumers: this.#consumers },
      isConnected: () => link.session !== undefined,
    });
    const calls = (catalogue: MaybeCatalogue) =>
      new Calls(
        {
          limits,
          events,
          subscribers: this.#subscribers,
          consumers: this.#consumers,
          schedulers,
          publisher: (messages) => publishing.publisher(undefined, messages),
          checkRunning: () => this.#checkRunning(),
        },
        catalogue,
      );
    this.#calls = calls(options.messages);
    this.publish = this.#calls.publish;
    const master = this as unknown as Master;
    this.#untyped = options.messages ? withCalls(master, calls(undefined)) : master;
    const machine = masterMachine.provide({
      actors: {
        session: this.#connection.machine,
        outbox: publishing.machine,
        supervisor: createGroups({ clock, random, backoff: { minDelayMs: 100, maxDelayMs: 5_000 } }),
      },
      actions: {
        report: (_, { status }) => this.#report(status),
        reportFailure: (_, { error }) => {
          this.#gaveUp ??= toError(error);
        },
      },
    });
    const actor = createRoot(machine, {
      id: limits.name,
      input: { connectTimeoutMs: limits.connectTimeoutMs, stepTimeoutMs: this.#stepTimeoutMs },
      clock,
      inspect: options.inspect,
    });
    this.actor = actor;
    actor.start();
    this.#watchChildren();
  }

  get status(): MasterStatus {
    return this.#status;
  }

  /** The same master without the catalogue: any topic, any data, nothing checked. */
  get untyped(): Master {
    return this.#untyped;
  }

  /** Counters and gauges, as they are now. */
  metrics(): Metrics {
    return this.#meter.read();
  }

  /** Resolves when the master is connected for the first time. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /**
   * Transient: while it listens, and nothing else. Resolves once every message published from now on that matches, by
   * any master, reaches the handler.
   */
  subscribe<const Input extends PatternInput>(
    pattern: Input & CheckPatterns<C, PatternsOf<Input>>,
    handler: HandlerOf<C, PatternsOf<Input>>,
  ): Promise<SubscriptionHandle>;
  subscribe<const Input extends PatternInput>(
    pattern: Input & CheckPatterns<C, PatternsOf<Input>>,
    options: SubscribeOptions,
    handler: HandlerOf<C, PatternsOf<Input>>,
  ): Promise<SubscriptionHandle>;
  subscribe(...given: unknown[]): Promise<SubscriptionHandle> {
    return this.#calls.subscribe(...(given as Parameters<Calls['subscribe']>));
  }

  /**
   * Durable: every message since the queue was declared, also those sent while nobody listens. Resolves when the queue is
   * declared and bound: this master is its owner, or stands by. Its signal ends the consumer as `stop` does.
   */
  consume<const Bindings extends readonly TopicInput[]>(
    queue: string,
    options: ConsumeOptionsOf<C, Bindings>,
    handler: HandlerOf<C, Bindings[number]>,
  ): Promise<ConsumerHandle> {
    return this.#calls.consume(...([queue, options, handler] as unknown as Parameters<Calls['consume']>));
  }

  /**
   * Durable, with a state: an XState machine that runs on one master at a time. Its state, its timers and what it has
   * published survive that master. Resolves as `consume` does.
   */
  schedule<const Bindings extends readonly TopicInput[], Logic extends AnyStateMachine>(
    queue: string,
    options: ScheduleOptionsOf<C, Bindings, Logic>,
  ): Promise<ConsumerHandle> {
    return this.#calls.schedule(queue, options);
  }

  /** Deletes a durable queue and what it holds. QueueInUseError if it has consumers and `whileInUse` is not set. */
  async deleteQueue(queue: string, options: DeleteQueueOptions = {}): Promise<void> {
    this.#checkRunning();
    await this.#queues.delete(queue, options);
  }

  /** The durable queues that a living master or their own record knows. */
  async queues(options: CallOptions = {}): Promise<QueueStatus[]> {
    this.#checkRunning();
    return this.#queues.list(options);
  }

  /** The dead letters of a queue, oldest first: those that are there when the iteration begins. */
  deadLetters(queue: string, options: CallOptions = {}): AsyncIterableIterator<DeadLetter> {
    this.#checkRunning();
    return this.#queues.deadLetters(queue, options);
  }

  /**
   * Puts dead letters at the tail of their own queue: same id, attempt 1, flagged as redelivered. Resolves with how many.
   */
  async redrive(queue: string, options: LettersOptions = {}): Promise<number> {
    this.#checkRunning();
    return this.#queues.redrive(queue, options);
  }

  /** Resolves with how many are gone. */
  async dropDeadLetters(queue: string, options: LettersOptions = {}): Promise<number> {
    this.#checkRunning();
    return this.#queues.dropDeadLetters(queue, options);
  }

  /** Subscribes, then checks, then waits: never racy. Resolves with the message, or with what `check` returned. */
  waitFor<const Input extends PatternInput, Found = never>(
    pattern: Input & CheckPatterns<C, PatternsOf<Input>>,
    options?: WaitForOptions<Found>,
  ): Promise<WaitResult<C, PatternsOf<Input>, Found>> {
    return this.#calls.waitFor(pattern, options) as Promise<WaitResult<C, PatternsOf<Input>, Found>>;
  }

  /** Messages as an async iterable, subscribed when it resolves. Leaving the loop ends the subscription. */
  messages<const Input extends PatternInput>(
    pattern: Input & CheckPatterns<C, PatternsOf<Input>>,
    options?: SubscribeOptions,
  ): Promise<AsyncIterableIterator<MessageOf<C, PatternsOf<Input>>>> {
    return this.#calls.messages(pattern, options) as Promise<
      AsyncIterableIterator<MessageOf<C, PatternsOf<Input>>>
    >;
  }

  /** Returns a function that ends it. A listener that throws harms nobody. */
  on<Name extends keyof MasterEvents>(name: Name, listener: (event: MasterEvents[Name]) => void): () => void {
    checkEventName(name);
    return this.#events.on(name, listener);
  }

  /**
   * Consumers drain and hand over, publishes are confirmed, the session closes. Twice is once, except that a later call may
   * give less time.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    checkKeys('stop', options, ['drainTimeoutMs']);
    const { drainTimeoutMs } = options;
    if (drainTimeoutMs !== undefined) this.#drains.limit(positive('drainTimeoutMs', drainTimeoutMs));
    if (!this.#done.settled) this.actor.send({ type: 'stop.requested', stepTimeoutMs: this.#stepTimeoutMs });
    await this.#done.promise.catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** For each step of a stop, in case that a child does not keep to its own deadlines. */
  get #stepTimeoutMs(): number {
    return this.#drains.timeoutMs + 2 * KILL_AFTER_DRAIN_MS;
  }

  #report(status: MasterStatus): void {
    this.#status = status;
    if (status === 'ready') this.#ready.resolve();
    if (status === 'stopped') this.#ended(new StoppedError('The master was stopped before it was ready.'));
    if (status === 'failed') {
      const error = this.#failure();
      this.#done.reject(error);
      this.#ended(error);
    }
  }

  #ended(error: Error): void {
    this.#ready.reject(error);
    this.#subscribers.allEnded();
    this.#consumers.allEnded();
    this.#done.resolve();
  }

  #failure(): Error {
    if (this.#gaveUp) return this.#gaveUp;
    const trouble = this.#connection.trouble;
    if (this.#ready.settled || (trouble && !('retryable' in trouble && trouble.retryable)))
      return trouble ?? new ConnectError('The session has failed.');
    return new ConnectError(
      `The broker was not reached within connectTimeoutMs (${this.#limits.connectTimeoutMs}): ${trouble?.message ?? 'no answer'}`,
      { cause: trouble },
    );
  }

  #watchChildren(): void {
    const supervisor = this.#supervisor();
    const crashes = new Map<string, Error>();
    const ended = (id: string, error?: unknown) => {
      crashes.delete(id);
      const reason = error === undefined ? undefined : toError(error);
      this.#subscribers.ended(id, reason);
      this.#consumers.ended(id, reason);
    };
    supervisor.on('child.crashed', (event: { id: string; error: unknown }) =>
      crashes.set(event.id, toError(event.error)),
    );
    supervisor.on('child.restarted', (event: { id: string; restarts: number }) => {
      const reason = crashes.get(event.id)!;
      this.#events.emit('restart', { child: event.id, reason, count: event.restarts });
    });
    supervisor.on('child.ended', (event: { id: string }) => ended(event.id));
    supervisor.on('child.killed', (event: { id: string }) => ended(event.id));
    supervisor.on('child.gave-up', (event: { id: string; error: Error }) => ended(event.id, event.error));
  }

  #supervisor(): AnyActorRef {
    const { children } = this.actor.getSnapshot() as { children: Record<string, AnyActorRef> };
    return children.supervisor!;
  }

  #checkRunning(): void {
    if (this.#status === 'stopping' || this.#status === 'stopped' || this.#status === 'failed')
      throw new StoppedError(`Master "${this.name}" is ${this.#status}. Create another one.`);
  }
}
