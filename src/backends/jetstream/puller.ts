import { createInbox, type Msg, type Subscription } from '@nats-io/transport-node';
import type { Clock, Timer } from '../../model/clock.js';
import type { Connection } from './connection.js';
import { placeOf, type Place } from './place.js';

const NANOSECONDS = 1_000_000;
/** How long the server keeps a question for messages. */
const EXPIRES_MS = 60_000;
/** How often the server says that it still has the question. */
const HEARTBEAT_MS = 5_000;
/** How long the last question of all is kept. */
const SWEEP_MS = 20;
/** So many heartbeats may stay out. */
const MISSED_MAX = 3;

export interface PullerPorts {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly stream: string;
  readonly consumer: string;
  readonly message: (message: Msg, place: Place) => void;
  /** The server does not have the question any more, or none of it was kept: more may be asked for. */
  readonly idle: () => void;
  /** There is no such consumer any more, as far as the server tells. */
  readonly missing: () => void;
}

/** Asks one consumer at the server for messages, and counts what is still to come. */
export class Puller {
  readonly #ports: PullerPorts;
  readonly #subject = createInbox();
  readonly #subscription: Subscription;
  readonly #next: string;
  #asked = 0;
  #heardAt = 0;
  #timer: Timer | undefined;
  #isOpen = true;

  constructor(ports: PullerPorts) {
    this.#ports = ports;
    this.#next = `$JS.API.CONSUMER.MSG.NEXT.${ports.stream}.${ports.consumer}`;
    this.#subscription = ports.connection.subscribe(this.#subject, (message) => this.#hear(message));
  }

  get consumer(): string {
    return this.#ports.consumer;
  }

  /** So many messages are still asked for. */
  get asked(): number {
    return this.#asked;
  }

  /** Asks for so many more. With `forMs` the server answers by then, also that there are none. */
  ask(count: number, forMs?: number): void {
    const { connection, clock } = this.#ports;
    if (!this.#isOpen || !connection.isOpen || count <= 0) return;
    const question = {
      batch: count,
      expires: (forMs ?? EXPIRES_MS) * NANOSECONDS,
      ...(forMs === undefined && { idle_heartbeat: HEARTBEAT_MS * NANOSECONDS }),
    };
    this.#asked += count;
    this.#heardAt = clock.now();
    connection.publish(this.#next, JSON.stringify(question), { reply: this.#subject });
    this.#watch();
  }

  /** Nothing more is asked for. Resolves when all that was under way is here, and the server has forgotten the question. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { connection, clock } = this.#ports;
    clock.clearTimeout(this.#timer);
    if (!connection.isOpen) return;
    const hadAsked = this.#asked > 0;
    await connection.during(this.#subscription.drain()).catch(() => {});
    if (hadAsked) await this.#sweep().catch(() => {});
  }

  /**
   * Before 2.10 a message that is given back goes to a question that nobody waits for any more, and is gone until its time is
   * over. A question that ends by time makes the server look who is still there.
   */
  async #sweep(): Promise<void> {
    const { connection, clock, message: taken } = this.#ports;
    if (!connection.isOpen) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clock.clearTimeout(timer);
        offEnd();
        if (connection.isOpen) subscription.unsubscribe();
        resolve();
      };
      const place = createInbox();
      const timer = clock.setTimeout(done, SWEEP_MS * 10);
      const offEnd = connection.onEnd(done);
      const subscription = connection.subscribe(place, (message) => {
        const at = message.reply ? placeOf(message.reply) : undefined;
        if (at) taken(message, at);
        else if (message.headers?.code === 100) return;
        done();
      });
      const question = { batch: 1, expires: SWEEP_MS * NANOSECONDS };
      connection.publish(this.#next, JSON.stringify(question), { reply: place });
    });
  }

  /** As `close`, and what is under way is nobody's. */
  stop(): void {
    this.#isOpen = false;
    this.#ports.clock.clearTimeout(this.#timer);
    if (this.#ports.connection.isOpen) this.#subscription.unsubscribe();
  }

  #hear(message: Msg): void {
    this.#heardAt = this.#ports.clock.now();
    const place = message.reply ? placeOf(message.reply) : undefined;
    if (!place) return this.#status(message);
    this.#asked = Math.max(0, this.#asked - 1);
    this.#ports.message(message, place);
  }

  #status(message: Msg): void {
    const { headers } = message;
    const code = headers?.code ?? 0;
    if (code === 0 || code === 100) return;
    const left = Number(headers!.get('Nats-Pending-Messages'));
    this.#asked = Number.isSafeInteger(left) && left > 0 ? Math.max(0, this.#asked - left) : 0;
    const isMissing =
      code === 503 || (code === 409 && /consumer deleted|not found/i.test(headers!.description));
    if (isMissing) this.#ports.missing();
    else this.#ports.idle();
  }

  /** A new leader of the consumer knows nothing of what the former one was asked. */
  #watch(): void {
    const { clock } = this.#ports;
    if (this.#timer !== undefined || !this.#isOpen) return;
    this.#timer = clock.setTimeout(() => {
      this.#timer = undefined;
      if (this.#asked === 0 || !this.#isOpen) return;
      if (clock.now() - this.#heardAt < HEARTBEAT_MS * MISSED_MAX) return this.#watch();
      this.#asked = 0;
      this.#ports.missing();
    }, HEARTBEAT_MS);
  }
}
