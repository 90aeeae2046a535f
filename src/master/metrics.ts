import type { Events } from '../flow/events.js';
import type { Outbox } from '../flow/outbox.js';
import type { Spool } from '../flow/spool.js';
import type { Tally } from '../flow/tally.js';
import type { Consumers } from './consumers.js';
import type { MasterEvents } from './events.js';
import type { Subscribers } from './subscribers.js';

/** Plain data, for whatever collects it. */
export interface Metrics {
  /** Since the master began: each only grows. */
  readonly counters: {
    /** Publishes that came into the outbox; one that is sent again by `retry()` counts again. */
    readonly publishes: number;
    /** Of them: those that the broker has taken, in time or not. The others are pending, failed, or in the spool. */
    readonly publishesConfirmed: number;
    /** Handler calls of subscriptions that have begun. */
    readonly transientCalls: number;
    /** Handler calls of consumers that have begun. */
    readonly durableCalls: number;
    /** Failed calls of either. */
    readonly failures: number;
    readonly deadLetters: number;
    /** Gaps that were told, and the messages in those whose number is known. */
    readonly gaps: number;
    readonly missed: number;
    /** Children of the supervisor that were started again. */
    readonly restarts: number;
    /** Queues, consumers and subscriptions that were lost. */
    readonly lost: number;
    /** How often the session with the broker was connected. */
    readonly connects: number;
    /** How often this master became the owner of a queue. */
    readonly takeovers: number;
    readonly warnings: number;
  };
  /** As it is now. */
  readonly gauges: {
    /** 1 while there is a session with the broker. */
    readonly connected: 0 | 1;
    /** Publishes without an answer yet, sent or not. */
    readonly publishesPending: number;
    /** Of them: those that wait to be sent. */
    readonly publishesWaiting: number;
    readonly spoolMessages: number;
    readonly spoolBytes: number;
    readonly subscriptions: number;
    readonly consumers: number;
    /** Of the consumers: those of a queue that this master owns, or shares, and handles now. */
    readonly consumersActive: number;
  };
}

/** What the figures are taken from. */
export interface Measured {
  readonly events: Events<MasterEvents>;
  readonly tally: Tally;
  readonly outbox: Outbox;
  readonly spool: Spool | undefined;
  readonly subscribers: Subscribers;
  readonly consumers: Consumers;
  readonly isConnected: () => boolean;
}

/** Counts what is told, and reads the rest when it is asked. */
export class Meter {
  readonly #measured: Measured;
  #failures = 0;
  #deadLetters = 0;
  #gaps = 0;
  #missed = 0;
  #restarts = 0;
  #lost = 0;
  #connects = 0;
  #isBlocked = false;
  #takeovers = 0;
  #warnings = 0;

  constructor(measured: Measured) {
    this.#measured = measured;
    const { events } = measured;
    events.on('failure', () => this.#failures++);
    events.on('dead-letter', () => this.#deadLetters++);
    events.on('gap', ({ missed }) => {
      this.#gaps++;
      this.#missed += missed ?? 0;
    });
    events.on('restart', () => this.#restarts++);
    events.on('lost', () => this.#lost++);
    events.on('session', ({ state }) => {
      if (state === 'connected' && !this.#isBlocked) this.#connects++;
      this.#isBlocked = state === 'blocked';
    });
    events.on('owner', ({ status }) => (this.#takeovers += status === 'active' ? 1 : 0));
    events.on('warning', () => this.#warnings++);
  }

  read(): Metrics {
    const { tally, outbox, spool, subscribers, consumers, isConnected } = this.#measured;
    return {
      counters: {
        publishes: tally.published,
        publishesConfirmed: tally.confirmed,
        transientCalls: tally.transientCalls,
        durableCalls: tally.durableCalls,
        failures: this.#failures,
        deadLetters: this.#deadLetters,
        gaps: this.#gaps,
        missed: this.#missed,
        restarts: this.#restarts,
        lost: this.#lost,
        connects: this.#connects,
        takeovers: this.#takeovers,
        warnings: this.#warnings,
      },
      gauges: {
        connected: isConnected() ? 1 : 0,
        publishesPending: outbox.pending,
        publishesWaiting: outbox.waiting,
        spoolMessages: spool?.messages ?? 0,
        spoolBytes: spool?.bytes ?? 0,
        subscriptions: subscribers.count,
        consumers: consumers.count,
        consumersActive: consumers.activeCount,
      },
    };
  }
}
