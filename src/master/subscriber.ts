import type { SubscriberStatus } from '../../actors/subscriber.js';
import type { Bindings } from '../flow/bindings.js';
import type { Dated } from '../flow/deadlines.js';
import type { Dispatcher } from '../flow/dispatcher.js';
import { Deferred } from '../flow/deferred.js';
import type { Events } from '../flow/events.js';
import type { Handler } from '../flow/handler.js';
import type { MailboxOptions } from '../flow/mailbox.js';
import type { Parcel } from '../flow/message-view.js';
import type { Catalogue } from '../model/catalogue.js';
import { Subscription, type SubscriptionPorts, type SubscriptionReports } from '../flow/subscription.js';
import type { MasterEvents } from './events.js';

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
  readonly isolation: 'shared' | 'queue';
  readonly signal: AbortSignal | undefined;
  /** Checks what the handler gets and publishes. */
  readonly catalogue: Catalogue | undefined;
  /** Takes what the mailbox has missed, instead of a `gap` event. */
  readonly overflowed: ((missed: number) => void) | undefined;
}

/** What all subscribers of a master share. */
export interface SubscriberPorts extends SubscriptionPorts {
  /** Of all who share a queue. */
  readonly dispatcher: Dispatcher;
  readonly events: Events<MasterEvents>;
  /** Asks for its end. Without effect when it has ended. */
  stop(subscriber: Subscriber): void;
}

const nothing = () => {};

/** One transient subscriber outside of its actor. There may be very many: what few of them need is made when they do. */
export class Subscriber implements SubscriptionHandle, SubscriptionReports, Dated {
  dueAt = 0;
  deadlines: object | undefined;
  earlier: this | undefined;
  later: this | undefined;
  readonly id: string;
  readonly patterns: readonly string[];
  readonly subscription: Subscription;
  readonly dispatcher: Dispatcher;
  readonly ready = new Deferred<void>();
  readonly over = new Deferred<void>();
  status: SubscriberStatus = 'declaring';
  /** Where its bindings were added: they died with an earlier session. */
  bindings: Bindings | undefined;
  /** Ends the wait for the next session, or for the end of the present one. */
  leaveSession: () => void = nothing;
  /** It has consumed, and its session was lost since. */
  interrupted = false;
  /** Why its bindings could not be added the last time. */
  trouble: Error | undefined;
  error: Error | undefined;
  readonly #ports: SubscriberPorts;
  readonly #overflowed: SubscriberPlan['overflowed'];

  constructor(
    readonly number: number,
    { patterns, mailbox, isolation, overflowed }: SubscriberPlan,
    handler: Handler,
    ports: SubscriberPorts,
  ) {
    this.id = `subscriber-${number}`;
    this.patterns = patterns;
    this.#ports = ports;
    this.#overflowed = overflowed;
    this.dispatcher =
      isolation === 'shared' ? ports.dispatcher : ports.dispatcher.apart((count) => this.missed(count));
    this.subscription = new Subscription(patterns, handler, mailbox, ports, this);
  }

  get ended(): Promise<void> {
    return this.over.promise;
  }

  stop(): Promise<void> {
    this.#ports.stop(this);
    return this.over.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  failed({ envelope }: Parcel, error: Error): void {
    const { id, topic } = envelope;
    const { patterns } = this;
    this.#ports.events.emit('failure', { queue: undefined, patterns, id, topic, attempt: 1, error });
  }

  overflowed(missed: number): void {
    if (this.#overflowed) this.#overflowed(missed);
    else this.missed(missed);
  }

  /** It has not kept up: its mailbox was full, or the broker left out messages. */
  missed(missed: number | undefined): void {
    this.#ports.events.emit('gap', { subscription: this, reason: 'mailbox', missed });
  }
}
