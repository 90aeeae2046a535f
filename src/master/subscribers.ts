import { fillPromise } from '../../actors/slots.js';
import {
  subscriberMachine,
  type Step,
  type SubscriberEvent,
  type SubscriberInput,
  type SubscriberStatus,
} from '../../actors/subscriber.js';
import type { Bindings } from '../flow/bindings.js';
import { Deadlines, type Dated } from '../flow/deadlines.js';
import { Deferred } from '../flow/deferred.js';
import type { Handler } from '../flow/handler.js';
import { Subscription } from '../flow/subscription.js';
import { DeadlineError, SessionLostError, StoppedError, isRetryable, toError } from '../model/errors.js';
import type { MailboxOptions } from '../flow/mailbox.js';
import type { MasterContext } from './context.js';

/** What `subscribe` resolves with. */
export interface SubscriptionHandle {
  /** Normal forms. */
  readonly patterns: readonly string[];
  readonly status: SubscriberStatus;
  /** Resolves when it has ended, for whatever reason: `error` tells it. */
  readonly ended: Promise<void>;
  /** Why it failed; undefined as long as it has not. */
  readonly error: Error | undefined;
  /** When it resolves: no more calls of the handler, and the broker holds nothing of it. Twice is once. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What `subscribe` asks for, checked. */
export interface SubscriberPlan {
  /** Normal forms. */
  readonly patterns: readonly string[];
  readonly mailbox: MailboxOptions;
  readonly signal: AbortSignal | undefined;
}

interface Subscriber extends SubscriptionHandle, Dated {
  readonly id: string;
  readonly subscription: Subscription;
  readonly ready: Deferred<void>;
  readonly over: Deferred<void>;
  status: SubscriberStatus;
  /** Where its bindings were added: they died with an earlier session. */
  bindings: Bindings | undefined;
  /** Ends the wait for the end of its session. */
  closePump: () => void;
  /** It has consumed, and its session was lost since. */
  interrupted: boolean;
  error: Error | undefined;
}

/** The transient subscribers of a master: the slots of their machine, and what they hold outside of it. */
export class Subscribers {
  readonly #context: MasterContext;
  readonly #register = new Map<number, Subscriber>();
  readonly #byId = new Map<string, number>();
  readonly #starting: Deadlines<Subscriber>;
  readonly #machine;
  #nextNumber = 1;

  constructor(context: MasterContext) {
    this.#context = context;
    const { connectTimeoutMs } = context.limits;
    this.#starting = new Deadlines({
      clock: context.clock,
      graceMs: 20,
      due: (subscriber) =>
        this.#giveUp(
          subscriber,
          new DeadlineError(`The subscription was not declared within ${connectTimeoutMs} ms.`),
        ),
    });
    this.#machine = subscriberMachine.provide({
      actors: {
        session: fillPromise<void, SubscriberInput>(async (_, signal) => {
          await context.link.whenUp(signal);
        }),
        declare: fillPromise<Step, SubscriberInput>((input) => this.#declare(this.#get(input))),
        drain: fillPromise<void, SubscriberInput>((input) =>
          context.drains.run((deadline) => this.#letGo(this.#get(input), deadline)),
        ),
      },
      actions: {
        openPump: ({ self }, { number }) =>
          this.#openPump(this.#get({ number }), (event) => self.send(event)),
        closePump: (_, { number }) => this.#register.get(number)?.closePump(),
        report: (_, { number, status }) => this.#report(number, status),
      },
    });
  }

  /** Resolves once every message published from now on that matches reaches the handler. */
  async start(plan: SubscriberPlan, handler: Handler): Promise<SubscriptionHandle> {
    const number = this.#nextNumber++;
    const subscriber = this.#enlist(number, plan, handler);
    const { id, ready } = subscriber;
    const giveUp = () => this.#giveUp(subscriber, plan.signal!.reason as Error);
    plan.signal?.addEventListener('abort', giveUp, { once: true });
    this.#starting.add(subscriber, this.#context.limits.connectTimeoutMs);
    this.#context.startChild({ id, logic: this.#machine, input: { number } });
    try {
      await ready.promise;
    } finally {
      this.#starting.delete(subscriber);
    }
    void subscriber.ended.then(() => plan.signal?.removeEventListener('abort', giveUp));
    return subscriber;
  }

  /** Whoever waits for it to be ready is told why it will not be; in any case it stops. */
  #giveUp(subscriber: Subscriber, reason: Error): void {
    subscriber.ready.reject(reason);
    void subscriber.stop();
  }

  /** The supervisor has ended this child: it will not run again. */
  ended(id: string, error: Error | undefined): void {
    const number = this.#byId.get(id);
    const subscriber = number === undefined ? undefined : this.#register.get(number);
    if (!subscriber) return;
    this.#register.delete(number!);
    this.#byId.delete(id);
    const reason = subscriber.error ?? error;
    // After a drain there is nothing left to do; after a crash there is.
    void this.#letGo(subscriber, Promise.resolve());
    if (subscriber.status !== 'stopped') {
      subscriber.status = 'failed';
      subscriber.error = reason;
    }
    const wasReady = subscriber.ready.settled;
    if (!wasReady)
      subscriber.ready.reject(
        reason ?? new StoppedError('The subscription was stopped before it was declared.'),
      );
    subscriber.over.resolve();
    if (wasReady && subscriber.error)
      this.#context.events.emit('lost', {
        queue: undefined,
        subscription: subscriber,
        reason: subscriber.error,
      });
  }

  /** The supervisor is gone, and every child with it. */
  allEnded(): void {
    for (const id of [...this.#byId.keys()]) this.ended(id, undefined);
  }

  /** The broker left out messages for this master: nobody knows whose. */
  missed(count: number | undefined): void {
    for (const subscriber of this.#register.values())
      this.#context.events.emit('gap', { subscription: subscriber, reason: 'mailbox', missed: count });
  }

  #enlist(number: number, { patterns, mailbox }: SubscriberPlan, handler: Handler): Subscriber {
    const { events, limits, turns, publisher } = this.#context;
    const id = `subscriber-${number}`;
    const stop = (): Promise<void> => {
      if (this.#register.has(number)) this.#context.stopChild(id);
      return subscriber.over.promise;
    };
    const subscription: Subscription = new Subscription(
      patterns,
      handler,
      mailbox,
      { turns, master: limits.name, publish: publisher(undefined) },
      {
        failed: ({ envelope }, error) =>
          events.emit('failure', {
            queue: undefined,
            patterns,
            id: envelope.id,
            topic: envelope.topic,
            attempt: 1,
            error,
          }),
        overflowed: (missed) => events.emit('gap', { subscription: subscriber, reason: 'mailbox', missed }),
      },
    );
    const over = new Deferred<void>();
    const subscriber: Subscriber = {
      id,
      patterns,
      subscription,
      ready: new Deferred(),
      over,
      ended: over.promise,
      status: 'declaring',
      bindings: undefined,
      closePump: () => {},
      interrupted: false,
      dueAt: 0,
      deadlines: undefined,
      earlier: undefined,
      later: undefined,
      error: undefined,
      stop,
      [Symbol.asyncDispose]: stop,
    };
    this.#register.set(number, subscriber);
    this.#byId.set(id, number);
    this.#context.dispatcher.add(subscription);
    return subscriber;
  }

  #get({ number }: SubscriberInput): Subscriber {
    return this.#register.get(number)!;
  }

  #report(number: number, status: SubscriberStatus): void {
    const subscriber = this.#register.get(number);
    if (!subscriber) return;
    subscriber.status = status;
    if (status === 'active') subscriber.ready.resolve();
  }

  async #declare(subscriber: Subscriber): Promise<Step> {
    const { session } = this.#context.link;
    if (!session) return { type: 'session.lost' };
    const bindings = (subscriber.bindings = this.#context.dispatcher.bindingsOf(session));
    try {
      await Promise.all(subscriber.patterns.map((pattern) => bindings.add(pattern)));
      return { type: 'done' };
    } catch (thrown) {
      await this.#unbind(subscriber);
      if (thrown instanceof SessionLostError || this.#context.link.session !== session)
        return { type: 'session.lost' };
      // What may pass is the supervisor's affair: the child crashes, and is started again after a while.
      if (isRetryable(thrown)) throw thrown;
      subscriber.error = toError(thrown);
      return { type: 'failed' };
    }
  }

  #openPump(subscriber: Subscriber, tell: (event: SubscriberEvent) => void): void {
    subscriber.subscription.open();
    subscriber.closePump = this.#context.link.onceDown(() => {
      subscriber.interrupted = true;
      tell({ type: 'session.lost' });
    });
    if (!subscriber.interrupted) return;
    subscriber.interrupted = false;
    this.#context.events.emit('gap', { subscription: subscriber, reason: 'reconnect', missed: undefined });
  }

  async #letGo(subscriber: Subscriber, deadline: Promise<void>): Promise<void> {
    this.#context.dispatcher.remove(subscriber.subscription);
    await subscriber.subscription.close(deadline);
    await this.#unbind(subscriber);
  }

  async #unbind(subscriber: Subscriber): Promise<void> {
    const { bindings, patterns } = subscriber;
    subscriber.bindings = undefined;
    if (bindings) await Promise.all(patterns.map((pattern) => bindings.remove(pattern)));
  }
}
