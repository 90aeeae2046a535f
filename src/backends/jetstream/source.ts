import type { Msg } from '@nats-io/transport-node';
import type { Clock } from '../../model/clock.js';
import { SessionLostError } from '../../model/errors.js';
import { TopicIndex } from '../../model/topic-index.js';
import type { Connection } from './connection.js';
import type { StreamConsumers } from './consumers.js';
import { Held } from './held.js';
import type { Segment } from './lease.js';
import type { Place } from './place.js';
import { Puller } from './puller.js';
import { topicOf } from './subjects.js';

export interface SourcePorts {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly consumers: StreamConsumers;
  /** Before the words of a topic. */
  readonly prefix: string;
  /** Of a shared queue what others gave back comes again, and the server does not count it as pending. */
  readonly isShared: boolean;
  readonly taken: (held: Held) => void;
  /** It may be asked for more, or has nothing more to give. */
  readonly changed: () => void;
  /** The server does not have its consumer any more. */
  readonly missing: (source: Source) => void;
}

/** So long a source that was replaced is asked before it says that it has nothing. */
const BRIEF_MS = 500;

/**
 * Where messages of a queue come from: a segment of the stream, or the letters that were put back. What the patterns do not
 * want, or what is of a later segment, is acked and left out.
 */
export class Source {
  readonly #ports: SourcePorts;
  readonly #puller: Puller;
  readonly #patterns = new TopicIndex<true>();
  #until: number | undefined;
  #isExhausted = false;
  #isAsking = false;
  #lastAck: string | undefined;
  #highest = 0;
  #received = 0;
  /** The number of the last delivery. */
  #delivery: number | undefined;
  /** What came and was not wanted. */
  leftOut = 0;

  constructor(
    readonly consumer: string,
    segment: Segment | undefined,
    ports: SourcePorts,
  ) {
    this.#ports = ports;
    this.isAgain = segment === undefined;
    this.#until = segment?.until;
    for (const pattern of segment?.patterns ?? []) this.#patterns.add(pattern, true);
    this.#puller = new Puller({
      ...ports,
      stream: ports.consumers.stream,
      consumer,
      message: (message, place) => this.#take(message, place),
      idle: () => ports.changed(),
      missing: () => ports.missing(this),
    });
  }

  /** Of letters that were put back. */
  readonly isAgain: boolean;

  get until(): number | undefined {
    return this.#until;
  }

  /** All that it ever will give has come; of an open one that is never so. */
  get isExhausted(): boolean {
    return this.#isExhausted;
  }

  /** The highest sequence that has come. */
  get highest(): number {
    return this.#highest;
  }

  get asked(): number {
    return this.#puller.asked;
  }

  /** Others took its place from this sequence on. */
  end(until: number): void {
    this.#until ??= until;
  }

  /** Asks for so many; of one that was replaced only what is there. */
  ask(count: number): void {
    if (this.#until === undefined && !this.isAgain) this.#puller.ask(count);
    else if (!this.#isExhausted && !this.#isAsking) void this.#askBriefly(count);
  }

  /** Looks anew whether something is there. */
  async refresh(count: number): Promise<void> {
    this.#isExhausted = false;
    if (!this.#isAsking) await this.#askBriefly(count);
  }

  ack(held: Held): void {
    const { connection } = this.#ports;
    if (!connection.isOpen) return;
    this.#lastAck = held.ack;
    connection.publish(held.ack, '');
  }

  /** Gives it back to whoever asks. */
  nak(held: Held): void {
    const { connection } = this.#ports;
    if (!connection.isOpen) return;
    this.#lastAck = held.ack;
    connection.publish(held.ack, '-NAK');
  }

  /** It is still in hand. */
  working(held: Held): void {
    if (this.#ports.connection.isOpen) this.#ports.connection.publish(held.ack, '+WPI');
  }

  /** What was said last, to be asked about: the server processes what is said of one consumer in order. */
  get lastAck(): string | undefined {
    return this.#lastAck;
  }

  /** Nothing more is asked for. Resolves when all that was under way is here. */
  async letGo(): Promise<void> {
    await this.#puller.close();
  }

  stop(): void {
    this.#puller.stop();
  }

  async #askBriefly(count: number): Promise<void> {
    this.#isAsking = true;
    try {
      const info = await this.#ports.consumers.info(this.consumer);
      const { isShared } = this.#ports;
      const pending = (info?.num_pending ?? 0) + (isShared ? (info?.num_ack_pending ?? 0) : 0);
      const left = Math.min(count, pending - this.#puller.asked);
      if (left > 0) this.#puller.ask(left, BRIEF_MS);
      // What the server has delivered may still be on its way.
      else if (pending === 0)
        this.#isExhausted = isShared || this.#received >= (info?.delivered.consumer_seq ?? 0);
    } catch {
      // Without an answer it is asked again, by whoever wants something.
    } finally {
      this.#isAsking = false;
    }
    if (this.#isExhausted) this.#ports.changed();
  }

  #take(message: Msg, place: Place): void {
    if (this.#isOutOfTurn(place)) return;
    const held = new Held(this, message, message.reply!, place);
    this.#received++;
    this.#highest = Math.max(this.#highest, place.sequence);
    if (this.#isWanted(message, place)) return this.#ports.taken(held);
    this.leftOut++;
    this.ack(held);
    this.#ports.changed();
  }

  /**
   * In a cluster a delivery may get lost on its way when a server dies. It would come again at some time, behind those after
   * it: so whoever needs an order begins anew, with another consumer.
   */
  #isOutOfTurn({ delivery }: Place): boolean {
    const { isShared, connection } = this.#ports;
    const isNext = this.#delivery === undefined || delivery === this.#delivery + 1;
    this.#delivery = delivery;
    if (isShared || isNext) return false;
    connection.drop(new SessionLostError('The server has lost a delivery.'));
    return true;
  }

  #isWanted(message: Msg, { sequence }: Place): boolean {
    if (this.isAgain) return true;
    if (this.#until !== undefined && sequence > this.#until) {
      this.#isExhausted = true;
      return false;
    }
    return this.#patterns.match(topicOf(this.#ports.prefix, message.subject)).length > 0;
  }
}
