import type { Session, TransientSink } from '../backend.js';
import { DuplicateFilter } from '../model/duplicates.js';
import type { Envelope } from '../model/message.js';
import { Routes } from '../model/routes.js';
import { SeenEpochs } from '../model/seen-epochs.js';
import { Bindings } from './bindings.js';
import { Parcel } from './message-view.js';
import type { Subscription } from './subscription.js';
import type { Turns } from './turns.js';

export interface DispatcherOptions {
  readonly turns: Turns;
  readonly producerMemoryMs: number;
  readonly missed: (count: number | undefined) => void;
  /** A former owner's message was dropped. */
  readonly former: (envelope: Envelope) => void;
}

/**
 * Hands the transient messages of a master to its subscribers: the broker sends each message once, the routes tell who
 * wants it.
 */
export class Dispatcher implements TransientSink {
  readonly #routes = new Routes<Subscription>();
  readonly #duplicates: DuplicateFilter;
  readonly #turns: Turns;
  readonly #epochs = new SeenEpochs();
  readonly #options: DispatcherOptions;
  #bindings: Bindings | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#turns = options.turns;
    this.#duplicates = new DuplicateFilter({ producerMemoryMs: options.producerMemoryMs });
    this.missed = options.missed;
    this.#former = options.former;
  }

  /** One more of its kind, with a queue of its own at the broker. */
  apart(missed: (count: number | undefined) => void): Dispatcher {
    return new Dispatcher({ ...this.#options, missed });
  }

  /** The bindings of this session; those of an earlier one died with it. */
  bindingsOf(session: Session): Bindings {
    if (this.#bindings?.session !== session) this.#bindings = new Bindings(session, this);
    return this.#bindings;
  }

  add(subscription: Subscription): void {
    for (const pattern of subscription.patterns) this.#routes.add(pattern, subscription);
  }

  remove(subscription: Subscription): void {
    for (const pattern of subscription.patterns) this.#routes.remove(pattern, subscription);
  }

  readonly #former: (envelope: Envelope) => void;
  readonly missed: (count: number | undefined) => void;

  message(envelope: Envelope): void {
    if (envelope.fence && this.#epochs.isFormer(envelope.fence)) return this.#former(envelope);
    if (envelope.origin && this.#duplicates.seen(envelope.origin, this.#turns.wall)) return;
    const wanted = this.#routes.match(envelope.topic);
    if (wanted.length === 0) return;
    const parcel = new Parcel(envelope);
    for (const subscription of wanted) subscription.put(parcel);
  }
}
