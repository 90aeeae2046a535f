import type { Channel, ConsumeMessage } from 'amqplib';
import { SessionLostError } from '../../model/errors.js';
import { AckFloor } from './ack-floor.js';
import type { Connection } from './connection.js';
import { deleted } from './token-channel.js';

/** Of AMQP, which counts in 16 bits. */
const PREFETCH_MAX = 65_535;

/** One of those who share a channel. */
export interface Taker {
  readonly prefetch: number;
  /** How many it has in hand. */
  readonly inHand: number;
  take(message: ConsumeMessage): void;
  /** It came while nobody takes any more, and goes back. */
  passOver(message: ConsumeMessage): void;
  /** The broker has ended it. */
  lost(reason: Error): void;
}

/**
 * The consumer that a session has of a work queue. All that consume a shared queue over one session share it: of several
 * consumers a quorum queue takes back the messages one consumer after the other, which would be another order.
 */
export class WorkChannel {
  readonly #connection: Connection;
  readonly #queue: string;
  readonly #workQueue: string;
  readonly #takers: Taker[] = [];
  /** Came while nobody had room. */
  readonly #waiting: ConsumeMessage[] = [];
  #channel: Channel | undefined;
  #acks!: AckFloor;
  #tag: string | undefined;
  #tags = 0;
  /** The delivery tag of what came last over the channel. */
  #latest = 0;
  #next = 0;
  /** Who left last. */
  #last: Taker | undefined;
  #changing: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, queue: string, workQueue: string) {
    this.#connection = connection;
    this.#queue = queue;
    this.#workQueue = workQueue;
  }

  get isUsed(): boolean {
    return this.#takers.length > 0;
  }

  join(taker: Taker): Promise<void> {
    this.#takers.push(taker);
    return this.#change(() => this.#consume());
  }

  ack(message: ConsumeMessage): void {
    this.#acks.ack(message.fields.deliveryTag);
    if (this.#waiting.length > 0) this.#hand(this.#waiting.shift()!);
  }

  /** Gives all that is in hand back to the broker, which delivers it again, first and in order. False if it can't now. */
  giveBackAll(): boolean {
    const channel = this.#channel;
    if (!channel || !this.#connection.isOpen || this.#latest === 0) return false;
    this.#acks.flush();
    this.#acks.passAll(this.#latest);
    const last = { fields: { deliveryTag: this.#latest } } as ConsumeMessage;
    channel.nack(last, true, true);
    return true;
  }

  /** Resolves when what it had in hand is back, and every ack processed. */
  leave(taker: Taker, held: readonly ConsumeMessage[]): Promise<void> {
    const at = this.#takers.indexOf(taker);
    if (at >= 0) this.#takers.splice(at, 1);
    this.#last = taker;
    for (const message of this.#waiting) if (!this.isUsed) taker.passOver(message);
    return this.#change(async () => {
      const channel = this.#channel;
      if (!channel || !this.#connection.isOpen) return;
      this.#acks.flush();
      if (!this.isUsed) {
        this.#channel = undefined;
        return this.#connection.closeChannel(channel);
      }
      // Before it is asked for less, so that the others get them first.
      for (const message of [...held, ...this.#waiting.splice(0)]) {
        this.#acks.pass(message.fields.deliveryTag);
        channel.nack(message, false, true);
      }
      await this.#consume();
    });
  }

  #change(work: () => Promise<void>): Promise<void> {
    const changed = this.#changing.then(work);
    this.#changing = changed.catch(() => {});
    return changed;
  }

  async #consume(): Promise<void> {
    const channel = (this.#channel ??= await this.#open());
    if (this.#tag !== undefined) await channel.cancel(this.#tag);
    // In rising order: the broker takes back in the order of these names.
    this.#tag = `w${String(++this.#tags).padStart(6, '0')}`;
    const prefetch = this.#takers.reduce((sum, taker) => sum + taker.prefetch, 0);
    await channel.prefetch(Math.min(prefetch, PREFETCH_MAX));
    await channel.consume(this.#workQueue, (message) => this.#hear(message), { consumerTag: this.#tag });
  }

  async #open(): Promise<Channel> {
    const channel = await this.#connection.channel();
    this.#latest = 0;
    this.#acks = new AckFloor(channel, () => this.#channel === channel && this.#connection.isOpen);
    let isLost = false;
    channel.on('close', () => {
      // Not if it was we who have closed it.
      isLost = this.#channel === channel;
      if (isLost) this.#channel = undefined;
    });
    this.#connection.whenAlone(channel, () => {
      if (isLost)
        this.#lost(new SessionLostError(`The broker has closed the channel of queue "${this.#queue}".`));
    });
    return channel;
  }

  #hear(message: ConsumeMessage | null): void {
    if (message) {
      this.#latest = message.fields.deliveryTag;
      this.#hand(message);
    } else this.#lost(deleted(this.#queue));
  }

  /** To the next in turn that has room. While the channel changes, more may come than they have room for. */
  #hand(message: ConsumeMessage): void {
    for (let tried = 0; tried < this.#takers.length; tried++) {
      const taker = this.#takers[this.#next++ % this.#takers.length]!;
      if (taker.inHand < taker.prefetch) return taker.take(message);
    }
    if (this.isUsed) this.#waiting.push(message);
    else this.#last?.passOver(message);
  }

  #lost(reason: Error): void {
    for (const taker of [...this.#takers]) taker.lost(reason);
  }
}
