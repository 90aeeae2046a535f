import type { Catalogue } from '../model/catalogue.js';
import { toError } from '../model/errors.js';
import type { Message } from '../model/message.js';
import { Deferred } from './deferred.js';
import { callHandler, isThenable, type DeliveryContext, type Handler, type Publish } from './handler.js';
import { Mailbox, type MailboxOptions } from './mailbox.js';
import { Outage } from './outage.js';
import type { Parcel } from './message-view.js';
import type { Tally } from './tally.js';
import type { Task, Turns } from './turns.js';

const nothing = () => undefined;

/** How a call that has not ended at once is heard of. */
interface Ears {
  readonly done: () => void;
  readonly failed: (thrown: unknown) => void;
}

/** What a subscription tells of itself. */
export interface SubscriptionReports {
  failed(parcel: Parcel, error: Error): void;
  /** So many messages found the mailbox full, since the outage began or was last told of. */
  overflowed(missed: number): void;
}

export interface SubscriptionPorts {
  readonly turns: Turns;
  readonly master: string;
  readonly publish: Publish;
  readonly tally: Tally;
  /** Checks what the handler gets. */
  readonly catalogue: Catalogue | undefined;
}

/**
 * The data plane of one transient subscriber: a bounded mailbox, and calls of its handler one after the other. A handler
 * that throws is reported, and the next message comes.
 */
export class Subscription implements Task {
  readonly #mailbox: Mailbox<Parcel>;
  #delivery: TransientDelivery | undefined;
  #open = false;
  #waiting = false;
  /** Whose call runs. */
  #running: Parcel | undefined;
  #ears: Ears | undefined;
  #quiet: Deferred<void> | undefined;
  #outage: Outage | undefined;
  #abort: AbortController | undefined;

  constructor(
    readonly patterns: readonly string[],
    readonly handler: Handler,
    mailbox: MailboxOptions,
    readonly ports: SubscriptionPorts,
    readonly reports: SubscriptionReports,
  ) {
    this.#mailbox = new Mailbox(mailbox);
  }

  open(): void {
    this.#open = true;
    if (this.#mailbox.size > 0) this.#wake();
  }

  put(parcel: Parcel): void {
    this.#mailbox.put(parcel);
    if (this.#open) this.#wake();
  }

  run(): boolean {
    this.#waiting = false;
    if (!this.#open || this.#running) return false;
    this.#lookForOutage();
    const parcel = this.#mailbox.take();
    if (!parcel) return false;
    this.#call(parcel);
    if (this.#running) return false;
    if (this.#mailbox.size === 0) {
      this.#lookForOutage();
      return false;
    }
    this.#waiting = true;
    return true;
  }

  /** The step had taken its message: the next one may go well. */
  broke(): void {
    if (this.#open && this.#mailbox.size > 0) this.#wake();
  }

  #lookForOutage(): void {
    if (this.#mailbox.dropped > 0) this.#theOutage.look();
  }

  /** Most subscribers have none. */
  get #theOutage(): Outage {
    const { ports, reports } = this;
    return (this.#outage ??= new Outage(ports.turns.clock, this.#mailbox, (missed) =>
      reports.overflowed(missed),
    ));
  }

  /** No more calls once it resolves. A call that runs past the deadline is told by its signal and left behind. */
  async close(deadline: Promise<void>): Promise<void> {
    this.#open = false;
    if (this.#mailbox.dropped > 0) this.#theOutage.end();
    this.#mailbox.clear();
    if (this.#running) await Promise.race([(this.#quiet ??= new Deferred()).promise, deadline]);
    this.#abort?.abort();
  }

  #wake(): void {
    if (this.#waiting || this.#running) return;
    this.#waiting = true;
    this.ports.turns.schedule(this);
  }

  #call(parcel: Parcel): void {
    this.ports.tally.transientCalls++;
    try {
      this.#delivery ??= new TransientDelivery(this);
      const message = parcel.message(this.ports.catalogue);
      const result =
        message instanceof Promise ? message.then((read) => this.#hand(read)) : this.#hand(message);
      if (isThenable(result)) this.#hear(parcel, result);
    } catch (thrown) {
      this.reports.failed(parcel, toError(thrown));
    }
  }

  #hand(message: Message): unknown {
    return this.#open ? callHandler(this.handler, message, this.#delivery!, nothing) : undefined;
  }

  /** With the same two functions for every call: an async function makes an object and a promise more for each. */
  #hear(parcel: Parcel, result: PromiseLike<unknown>): void {
    this.#running = parcel;
    this.#ears ??= {
      done: () => this.#ended(),
      failed: (thrown) => {
        this.reports.failed(this.#running!, toError(thrown));
        this.#ended();
      },
    };
    void Promise.resolve(result).then(this.#ears.done, this.#ears.failed);
  }

  #ended(): void {
    this.#running = undefined;
    this.#quiet?.resolve();
    if (!this.#open) return;
    if (this.#mailbox.size > 0) this.#wake();
    else this.#lookForOutage();
  }

  /** Aborts when the subscription has closed and a call still runs. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }
}

/** The same for every message of a subscriber: nothing in it is about one of them. */
class TransientDelivery implements DeliveryContext {
  readonly attempt = 1;
  readonly redelivered = false;
  readonly queue = undefined;
  readonly epoch = undefined;
  readonly settle = undefined;
  readonly #subscription: Subscription;

  constructor(subscription: Subscription) {
    this.#subscription = subscription;
    Object.freeze(this);
  }

  get master(): string {
    return this.#subscription.ports.master;
  }

  get publish(): Publish {
    return this.#subscription.ports.publish;
  }

  get signal(): AbortSignal {
    return this.#subscription.signal;
  }
}
