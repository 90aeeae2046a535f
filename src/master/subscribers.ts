import { fillPromise } from '../../actors/slots.js';
import {
  subscriberMachine,
  type SubscriberEvent,
  type SubscriberInput,
  type SubscriberStatus,
} from '../../actors/subscriber.js';
import type { Session } from '../backend.js';
import { Deadlines } from '../flow/deadlines.js';
import type { Handler } from '../flow/handler.js';
import type { Catalogue } from '../model/catalogue.js';
import { DeadlineError, StoppedError, toError } from '../model/errors.js';
import type { MasterContext } from './context.js';
import { refusalOf } from './refusal.js';
import {
  Subscriber,
  type SubscriberPlan,
  type SubscriberPorts,
  type SubscriptionHandle,
} from './subscriber.js';

/** How an attempt to add the bindings ended, as an event of the actor. */
type Bound = 'bindings.added' | 'bindings.refused' | 'bindings.failed' | 'session.lost';

/** The actor of a subscriber. */
interface Teller {
  send(event: SubscriberEvent): void;
}

/** An action does no work of its own: what it asks for begins after it. */
const transitionComplete = Promise.resolve();

/** The transient subscribers of a master: the slots of their machine, and what they hold outside of it. */
export class Subscribers {
  readonly #context: MasterContext;
  readonly #register = new Map<number, Subscriber>();
  readonly #byId = new Map<string, Subscriber>();
  readonly #ports = new Map<Catalogue | undefined, SubscriberPorts>();
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
        crash: fillPromise<never, SubscriberInput>((input) => Promise.reject(this.#get(input).trouble)),
      },
      actions: {
        awaitSession: ({ self }, input) => this.#awaitSession(this.#get(input), self),
        addBindings: ({ self }, input) => void this.#addBindings(this.#get(input), self),
        openPump: ({ self }, input) => this.#openPump(this.#get(input), self),
        leaveSession: (_, { number }) => this.#register.get(number)?.leaveSession(),
        drain: ({ self }, input) => void this.#drain(this.#get(input), self),
        report: (_, { number, status }) => this.#report(number, status),
      },
    });
  }

  get count(): number {
    return this.#register.size;
  }

  /** Resolves once every message published from now on that matches reaches the handler. */
  async start(plan: SubscriberPlan, handler: Handler): Promise<SubscriptionHandle> {
    const subscriber = new Subscriber(this.#nextNumber++, plan, handler, this.#portsWith(plan.catalogue));
    const { id, number, ready } = subscriber;
    this.#register.set(number, subscriber);
    this.#byId.set(id, subscriber);
    subscriber.dispatcher.add(subscriber.subscription);
    if (plan.signal) this.#listen(subscriber, plan.signal);
    this.#starting.add(subscriber, this.#context.limits.connectTimeoutMs);
    this.#context.startChild({ id, logic: this.#machine, input: { number } });
    try {
      await ready.promise;
    } finally {
      this.#starting.delete(subscriber);
    }
    return subscriber;
  }

  /** Shared by all that have the same catalogue, or none: there may be very many. */
  #portsWith(catalogue: Catalogue | undefined): SubscriberPorts {
    const made = this.#ports.get(catalogue);
    if (made) return made;
    const { turns, tally, events, limits, publisher, dispatcher } = this.#context;
    const ports: SubscriberPorts = {
      dispatcher,
      turns,
      tally,
      events,
      master: limits.name,
      catalogue,
      publish: publisher(undefined, catalogue),
      stop: ({ id }) => {
        if (this.#byId.has(id)) this.#context.stopChild(id);
      },
    };
    this.#ports.set(catalogue, ports);
    return ports;
  }

  #listen(subscriber: Subscriber, signal: AbortSignal): void {
    const giveUp = () => this.#giveUp(subscriber, signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
    void subscriber.ended.then(() => signal.removeEventListener('abort', giveUp));
  }

  /** Whoever waits for it to be ready is told why it will not be; in any case it stops. */
  #giveUp(subscriber: Subscriber, reason: Error): void {
    subscriber.ready.reject(reason);
    void subscriber.stop();
  }

  /** The supervisor has ended this child: it will not run again. */
  ended(id: string, error: Error | undefined): void {
    const subscriber = this.#byId.get(id);
    if (!subscriber) return;
    this.#register.delete(subscriber.number);
    this.#byId.delete(id);
    subscriber.leaveSession();
    const reason = subscriber.error ?? error;
    if (subscriber.status !== 'stopped') {
      // After a drain there is nothing left to do; after a crash there is.
      void this.#letGo(subscriber, Promise.resolve());
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

  /** The broker left out messages for those who share a queue: nobody knows whose. */
  missed(count: number | undefined): void {
    for (const subscriber of this.#register.values())
      if (subscriber.dispatcher === this.#context.dispatcher) subscriber.missed(count);
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

  #awaitSession(subscriber: Subscriber, actor: Teller): void {
    subscriber.leaveSession = this.#context.link.onceUp(() => actor.send({ type: 'session.connected' }));
  }

  async #addBindings(subscriber: Subscriber, actor: Teller): Promise<void> {
    await transitionComplete;
    actor.send({ type: await this.#bind(subscriber) });
  }

  /** Never rejects. */
  async #bind(subscriber: Subscriber): Promise<Bound> {
    const { session } = this.#context.link;
    if (!session) return 'session.lost';
    const bindings = (subscriber.bindings = subscriber.dispatcher.bindingsOf(session));
    try {
      await Promise.all(subscriber.patterns.map((pattern) => bindings.add(pattern)));
      return 'bindings.added';
    } catch (thrown) {
      await this.#unbind(subscriber);
      return this.#refused(subscriber, thrown, session);
    }
  }

  #refused(subscriber: Subscriber, thrown: unknown, session: Session): Bound {
    try {
      const refusal = refusalOf(thrown, session, this.#context.link);
      if (!refusal) return 'session.lost';
      subscriber.error = refusal;
      return 'bindings.refused';
    } catch (mayPass) {
      subscriber.trouble = toError(mayPass);
      return 'bindings.failed';
    }
  }

  #openPump(subscriber: Subscriber, actor: Teller): void {
    subscriber.subscription.open();
    subscriber.leaveSession = this.#context.link.onceDown(() => {
      subscriber.interrupted = true;
      actor.send({ type: 'session.lost' });
    });
    if (!subscriber.interrupted) return;
    subscriber.interrupted = false;
    this.#context.events.emit('gap', { subscription: subscriber, reason: 'reconnect', missed: undefined });
  }

  async #drain(subscriber: Subscriber, actor: Teller): Promise<void> {
    await transitionComplete;
    await this.#context.drains.run((deadline) => this.#letGo(subscriber, deadline)).catch(() => {});
    actor.send({ type: 'drain.ended' });
  }

  async #letGo(subscriber: Subscriber, deadline: Promise<void>): Promise<void> {
    subscriber.dispatcher.remove(subscriber.subscription);
    await subscriber.subscription.close(deadline);
    await this.#unbind(subscriber);
  }

  async #unbind(subscriber: Subscriber): Promise<void> {
    const { bindings, patterns, dispatcher } = subscriber;
    subscriber.bindings = undefined;
    if (!bindings) return;
    if (dispatcher !== this.#context.dispatcher) await bindings.close();
    else await Promise.all(patterns.map((pattern) => bindings.remove(pattern)));
  }
}
