import { AckPolicy, DeliverPolicy, type ConsumerConfig, type ConsumerInfo } from '@nats-io/jetstream';
import { Code } from './api-errors.js';
import type { Connection } from './connection.js';
import { unlessGone } from './records.js';

const NANOSECONDS = 1_000_000;
/** A consumer that nobody has named in a lease is gone after so long: longer than an owner takes to clean up. */
const ORPHAN_MS = 600_000;
/** Every owner has consumers of its own: nothing need come again by time, and what does is recognised. */
const EXCLUSIVE_ACK_WAIT_MS = 86_400_000;

export interface NewConsumer {
  readonly name: string;
  readonly subjects: readonly string[];
  /** The first sequence; undefined: what is published from now on. */
  readonly start: number | undefined;
  /** Of a shared queue: until a message that nobody has spoken of comes again. */
  readonly ackWaitMs: number | undefined;
}

/** Consumers at one stream. */
export class StreamConsumers {
  readonly #connection: Connection;

  constructor(
    connection: Connection,
    readonly stream: string,
  ) {
    this.#connection = connection;
  }

  /** It expires unless it is kept. */
  async create(wanted: NewConsumer): Promise<ConsumerInfo> {
    const info = await this.#connection.api((jsm) => jsm.consumers.add(this.stream, configOf(wanted)));
    // An older server passes over what it does not know, and would deliver everything.
    if (!isFilteredBy(info.config, wanted.subjects)) {
      await this.delete(wanted.name);
      throw new Error(
        `The server has made a consumer with another filter than ${wanted.subjects.join(', ')}.`,
      );
    }
    return info;
  }

  /** It stays, until it is deleted: a lease names it. */
  async keep(name: string): Promise<void> {
    await this.#connection.api((jsm) => jsm.consumers.update(this.stream, name, { inactive_threshold: 0 }));
  }

  async info(name: string): Promise<ConsumerInfo | undefined> {
    return unlessGone(
      this.#connection.api((jsm) => jsm.consumers.info(this.stream, name)),
      Code.streamNotFound,
    );
  }

  async delete(name: string): Promise<void> {
    await unlessGone(
      this.#connection.api((jsm) => jsm.consumers.delete(this.stream, name)),
      Code.streamNotFound,
    );
  }

  async names(): Promise<string[]> {
    const found: string[] = [];
    for (;;) {
      const question = JSON.stringify({ offset: found.length });
      const answer = await this.#connection.request(`$JS.API.CONSUMER.NAMES.${this.stream}`, question);
      const { consumers, total } = answer.json<{ consumers?: string[] | null; total?: number }>();
      if (!consumers || consumers.length === 0) return found;
      found.push(...consumers);
      if (found.length >= (total ?? 0)) return found;
    }
  }
}

function configOf({ name, subjects, start, ackWaitMs }: NewConsumer): Partial<ConsumerConfig> {
  return {
    durable_name: name,
    ack_policy: AckPolicy.Explicit,
    ack_wait: (ackWaitMs ?? EXCLUSIVE_ACK_WAIT_MS) * NANOSECONDS,
    max_ack_pending: -1,
    max_deliver: -1,
    max_waiting: 512,
    inactive_threshold: ORPHAN_MS * NANOSECONDS,
    ...(subjects.length === 1 ? { filter_subject: subjects[0]! } : { filter_subjects: [...subjects] }),
    ...(start === undefined
      ? { deliver_policy: DeliverPolicy.New }
      : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: start }),
  };
}

function isFilteredBy(config: ConsumerConfig, subjects: readonly string[]): boolean {
  const has = config.filter_subjects ?? (config.filter_subject === undefined ? [] : [config.filter_subject]);
  return has.length === subjects.length && subjects.every((subject) => has.includes(subject));
}
