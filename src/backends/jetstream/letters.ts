import type { StoredMsg } from '@nats-io/jetstream';
import type { DeadLetter, LetterDetails } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import { detailsOf, marksOf } from '../broker/letter-marks.js';
import { Code } from './api-errors.js';
import type { Connection } from './connection.js';
import type { JetStreamDelivery } from './delivery.js';
import {
  blockOf,
  headersOf,
  isMark,
  isServers,
  linesOf,
  markLines,
  MESSAGE_ID,
  readMark,
  serverLine,
  unpack,
  type HeaderList,
} from './headers.js';
import type { Inbox } from './inbox.js';
import type { Names } from './names.js';
import { unlessGone } from './records.js';
import { store } from './stored.js';

export interface LettersPorts {
  readonly connection: Connection;
  readonly inbox: Inbox;
  readonly names: Names;
  readonly environment: Environment;
}

interface Stored {
  readonly sequence: number;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
  readonly at: number;
}

/** The dead letters of durable queues, and those that were put back. */
export class Letters {
  readonly #ports: LettersPorts;

  constructor(ports: LettersPorts) {
    this.#ports = ports;
  }

  /** Resolves when the copy is stored; the message itself is still held. Stored once, also if this is asked twice. */
  async bury(queue: string, delivery: JetStreamDelivery, details: LetterDetails): Promise<void> {
    const { envelope, redrives, held } = delivery;
    // Only foreign messages have ids that are not unique.
    const nonce = envelope.origin ? undefined : held.key;
    const marks = {
      topic: envelope.topic,
      id: envelope.id,
      redrives: String(redrives),
      ...(nonce !== undefined && { nonce }),
      ...marksOf(details),
      at: String(this.#ports.environment.clock.wall()),
    };
    await this.#store(
      this.#ports.names.letter(queue),
      `letter/${letterId(queue, marks)}`,
      headersOf(held.message),
      marks,
      held.message.data,
    );
  }

  async *read(queue: string): AsyncIterable<DeadLetter> {
    for await (const stored of this.#all(queue)) yield this.#letter(queue, stored);
  }

  /** Resolves with how many were put back. The owner is told by the caller. */
  async redrive(queue: string, ids: readonly string[] | undefined): Promise<number> {
    const { names } = this.#ports;
    return this.#take(queue, ids, async (letter, { headers, body }) => {
      const redrives = Number(readMark(headers, 'redrives') ?? 0) || 0;
      const marks = { topic: letter.envelope.topic, id: letter.envelope.id, redrives: String(redrives + 1) };
      await this.#store(
        names.again(queue),
        `again/${letter.id}`,
        headers.filter(([name]) => name !== 'ce-signalboxfence'),
        marks,
        body,
      );
    });
  }

  drop(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.#take(queue, ids, async () => {});
  }

  /** A letter that was put back is settled: nothing of it is needed any more. */
  settledAgain(sequence: number): void {
    void this.#delete(sequence).catch(() => {});
  }

  /** Whether letters were put back that nobody has settled. */
  async hasAgain(queue: string): Promise<boolean> {
    return (await this.#next(this.#ports.names.again(queue), 1)) !== null;
  }

  /** With its queue. */
  async forget(queue: string): Promise<void> {
    const { connection, names } = this.#ports;
    for (const filter of [names.letter(queue), names.again(queue)])
      await connection.api((jsm) => jsm.streams.purge(names.letters, { filter }));
  }

  async #take(
    queue: string,
    ids: readonly string[] | undefined,
    use: (letter: DeadLetter, stored: Stored) => Promise<void>,
  ): Promise<number> {
    const wanted = ids && new Set(ids);
    let count = 0;
    if (wanted?.size === 0) return 0;
    for await (const stored of this.#all(queue)) {
      const letter = this.#letter(queue, stored);
      if (wanted && !wanted.has(letter.id)) continue;
      await use(letter, stored);
      // Of two who take the same one, one has taken it.
      if (await this.#delete(stored.sequence)) count++;
    }
    return count;
  }

  /** Those that are there now, oldest first. */
  async *#all(queue: string): AsyncIterable<Stored> {
    const { connection, names } = this.#ports;
    const subject = names.letter(queue);
    // Of one subject server 2.9 does not know the last message any more once the last was deleted.
    const { state } = await connection.api((jsm) => jsm.streams.info(names.letters));
    for (let sequence = 1; sequence <= state.last_seq;) {
      const found = await this.#next(subject, sequence);
      if (!found || found.seq > state.last_seq) return;
      sequence = found.seq + 1;
      yield storedOf(found);
    }
  }

  #next(subject: string, seq: number): Promise<StoredMsg | null> {
    const { connection, names } = this.#ports;
    // The library's types know of this question only for direct access.
    const question: { seq: number } = Object.assign({ seq }, { next_by_subj: subject });
    return connection.api((jsm) => jsm.streams.getMessage(names.letters, question));
  }

  #letter(queue: string, { headers, body, at, sequence }: Stored): DeadLetter {
    const told = (name: string) => readMark(headers, name);
    const received = unpack({
      topic: told('topic') ?? '',
      headers,
      body,
      receivedAt: at,
      fallbackId: told('id') ?? String(sequence),
    });
    const envelope = { ...received, fence: undefined };
    return {
      id: letterId(queue, { id: envelope.id, redrives: told('redrives') ?? '0', nonce: told('nonce') }),
      envelope,
      ...detailsOf(told),
      at: Number(told('at') ?? 0) || at,
    };
  }

  async #delete(sequence: number): Promise<boolean> {
    const { connection, names } = this.#ports;
    const done = await unlessGone(
      connection.api((jsm) => jsm.streams.deleteMessage(names.letters, sequence)),
      Code.noMessageFound,
      Code.messageNotDeleted,
      Code.noSequence,
    );
    return done === true;
  }

  /** The same bytes and headers, with other marks. */
  async #store(
    subject: string,
    id: string,
    headers: HeaderList,
    marks: Readonly<Record<string, string>>,
    body: Uint8Array,
  ): Promise<void> {
    const { inbox, connection, environment } = this.#ports;
    const kept = linesOf(headers, (name) => !isMark(name) && !isServers(name));
    const block = blockOf(serverLine(MESSAGE_ID, encodeURIComponent(id)) + kept + markLines(marks));
    await store(inbox, connection, environment.clock, { subject, body, headers: block });
  }
}

function letterId(
  queue: string,
  {
    id,
    redrives,
    nonce,
  }: { readonly id: string; readonly redrives: string; readonly nonce?: string | undefined },
): string {
  return `${queue}/${id}/${redrives}${nonce === undefined ? '' : `/${nonce}`}`;
}

function storedOf(found: StoredMsg): Stored {
  return {
    sequence: found.seq,
    headers: headersOf({ headers: found.header }),
    body: found.data,
    at: found.time.getTime(),
  };
}
