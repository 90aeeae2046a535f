import type { Delivery, Holder, Ownership } from '../../backend.js';
import { Fifo } from '../../model/fifo.js';
import { FencedError } from '../../model/errors.js';
import { CallRecord } from '../broker/call-record.js';
import type { DurableQueues } from './durable-queues.js';
import type { SignsOfLife } from './signs-of-life.js';
import type { Token } from './token.js';
import type { TokenChannel } from './token-channel.js';
import { AmqpDelivery } from './delivery.js';

/** So many saves are under way at a time. */
const SAVES_MAX = 16;

export interface OwnershipPorts {
  readonly tokens: TokenChannel;
  readonly signs: SignsOfLife;
  readonly queues: DurableQueues;
  readonly isBlocked: () => boolean;
  /** Its bindings are in place: for the first time, or others. */
  readonly bound: (isFirst: boolean) => void;
  readonly released: () => Promise<void>;
}

/** The right to consume a queue, held as a token. */
export class AmqpOwnership implements Ownership {
  readonly queueId: string;
  readonly epoch: number;
  readonly checkpoint: Uint8Array | undefined;
  readonly calls: CallRecord;
  /** Whether it is consumed under this ownership. */
  consumers = 0;
  #token: Token;
  readonly #ports: OwnershipPorts;
  readonly #waiting = new Fifo<() => void>();
  #saves = 0;
  #isHeld = true;
  #isReleased = false;
  #hasBound = false;
  #binding: Promise<unknown> = Promise.resolve();
  #note: Promise<void> | undefined;

  /** `found` is the token before; `token` the one of the grant. */
  constructor(
    readonly queue: string,
    found: Token | undefined,
    token: Token,
    ports: OwnershipPorts,
  ) {
    this.#token = token;
    this.#ports = ports;
    this.queueId = token.queueId;
    this.epoch = token.epoch;
    this.checkpoint = token.checkpoint;
    this.calls = new CallRecord(found);
  }

  /** Whether it has not ended; it may have lapsed. */
  get isHeld(): boolean {
    return this.#isHeld && !this.#isReleased;
  }

  get hasBound(): boolean {
    return this.#hasBound;
  }

  get bindings(): readonly string[] {
    return this.#token.bindings;
  }

  get holder(): Holder {
    return { owner: this.#token.owner, epoch: this.epoch, queueId: this.queueId };
  }

  get isBlocked(): boolean {
    return this.#ports.isBlocked();
  }

  valid(): boolean {
    return this.#isHeld && !this.#isReleased && this.#ports.signs.valid();
  }

  async revalidate(): Promise<void> {
    this.#check();
    await this.#ports.signs.ask();
    this.#check();
  }

  bind(patterns: readonly string[]): Promise<void> {
    const bound = this.#binding.then(() => this.#bind([...new Set(patterns)]));
    this.#binding = bound.catch(() => {});
    return bound;
  }

  async save(checkpoint: Uint8Array, settled: readonly Delivery[]): Promise<void> {
    const kept = Uint8Array.from(checkpoint);
    await this.#write({ checkpoint: kept });
    for (const delivery of settled) if (delivery instanceof AmqpDelivery) delivery.ackProven();
  }

  /** Notes in the token what is known of calls: resolves when a successor would find it. */
  noteCalls(): Promise<void> {
    // What is noted is read when the token is written, a little later: one note is enough for all until then.
    this.#note ??= Promise.resolve().then(() => {
      this.#note = undefined;
      return this.#write({});
    });
    return this.#note;
  }

  async release(): Promise<void> {
    if (!this.isHeld) return;
    this.#isReleased = true;
    await this.#ports.released();
  }

  /** The last word of a proper stop: what a successor need not flag. */
  async writeClean(): Promise<void> {
    await this.#publish({ isClean: true });
  }

  end(): void {
    this.#isHeld = false;
    this.#ports.signs.stop();
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) next();
  }

  async #bind(wanted: readonly string[]): Promise<void> {
    this.#check();
    const current = this.#token.bindings;
    const added = wanted.filter((pattern) => !current.includes(pattern));
    const removed = current.filter((pattern) => !wanted.includes(pattern));
    // The record never names too few: whoever comes after a crash can remove what is too many.
    if (added.length > 0) await this.#write({ bindings: [...current, ...added] });
    // The first time all of them: somebody may have removed what the record names.
    await this.#ports.queues.bind(this.queue, this.#hasBound ? added : wanted);
    this.#check();
    await this.#ports.queues.unbind(this.queue, removed);
    if (removed.length > 0) await this.#write({ bindings: wanted });
    this.#check();
    const isFirst = !this.#hasBound;
    this.#hasBound = true;
    this.#ports.bound(isFirst);
  }

  async #write(change: Partial<Token>): Promise<void> {
    this.#check();
    if (this.#saves >= SAVES_MAX) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#check();
    }
    await this.#publish(change);
  }

  async #publish(change: Partial<Token>): Promise<void> {
    this.#saves++;
    this.#token = {
      ...this.#token,
      ...change,
      sequence: this.#token.sequence + 1,
      begun: this.calls.kept(),
    };
    try {
      await this.#ports.tokens.save(this.#token);
    } finally {
      this.#saves--;
      this.#waiting.shift()?.();
    }
  }

  #check(): void {
    if (!this.isHeld) throw new FencedError(`The ownership of queue "${this.queue}" has ended.`);
  }
}
