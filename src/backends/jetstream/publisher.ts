import type { Msg } from '@nats-io/transport-node';
import type { Ownership } from '../../backend.js';
import type { Environment, Timer } from '../../model/clock.js';
import { FencedError, PayloadTooLargeError, SessionLostError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { TurnoverMap } from '../../model/turnover-map.js';
import { Code, errorCode, isPassingCode, refusal } from './api-errors.js';
import type { Connection, HeaderBlock } from './connection.js';
import { blockOf, MESSAGE_ID, pack, serverLine } from './headers.js';
import { isNobody, type Inbox } from './inbox.js';
import { readAnswer } from './stored.js';
import { subjectOf } from './subjects.js';

/** Until a message that has no answer is sent again. */
const SILENT_MS = 5_000;
/** Between two tries while the stream has no leader. */
const AGAIN_MS = { min: 50, max: 1_000 } as const;
/** The control line of a publish: the server cuts the connection beyond it. */
const SUBJECT_MAX_BYTES = 3_500;

interface Sending {
  readonly number: number;
  readonly envelope: Envelope;
  readonly fence: Ownership | undefined;
  readonly id: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  token: string | undefined;
  sentAt: number;
}

export interface PublisherPorts {
  readonly connection: Connection;
  readonly inbox: Inbox;
  readonly environment: Environment;
  readonly prefix: string;
  readonly stream: string;
  readonly session: string;
  readonly isHeld: (ownership: Ownership) => boolean;
  /** Somebody has deleted the stream. */
  readonly streamGone: () => void;
}

/**
 * Publishes to the stream of messages, in the order of the calls. An election is no affair of the caller's: what was not
 * taken, or has no answer, is sent again under the same id, flagged, so that the stream stores it once.
 */
export class Publisher {
  readonly #ports: PublisherPorts;
  readonly #open = new TurnoverMap<number, Sending>();
  /** Refused for now; while there are any, later ones wait behind them. */
  #held: Sending[] = [];
  #number = 0;
  #pauseMs: number = AGAIN_MS.min;
  #retry: Timer | undefined;
  #watch: Timer | undefined;
  #isLooking = false;

  constructor(ports: PublisherPorts) {
    this.#ports = ports;
    ports.connection.onEnd(() => this.#end());
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<void> {
    const { connection, session, isHeld } = this.#ports;
    if (!connection.isOpen) return Promise.reject(connection.lostError());
    if (fence && !isHeld(fence))
      return Promise.reject(new FencedError(`The ownership of queue "${fence.queue}" has ended.`));
    return new Promise((resolve, reject) => {
      const number = ++this.#number;
      // Ids of our own are unique, and a copy that is sent later is stored once as well. A former owner's emission is not its successor's.
      const own = envelope.origin && `${envelope.id}${fence ? `@${fence.epoch}` : ''}`;
      const id = own ?? `${session}/${number}`;
      const sending: Sending = { number, envelope, fence, id, resolve, reject, token: undefined, sentAt: 0 };
      this.#open.set(number, sending);
      if (this.#held.length > 0) this.#held.push(sending);
      else this.#send(sending, false);
      this.#watchSilence();
    });
  }

  #send(sending: Sending, isAgain: boolean): void {
    const { connection, inbox, prefix, environment } = this.#ports;
    const { envelope, fence, id, token } = sending;
    if (token !== undefined) inbox.forget(token);
    if (fence && !this.#ports.isHeld(fence)) {
      const ended = new FencedError(`The ownership of queue "${fence.queue}" has ended.`);
      return this.#settle(sending, () => sending.reject(ended));
    }
    try {
      const { body, lines } = pack(isAgain ? { ...envelope, resent: true } : envelope, fence);
      const headers: HeaderBlock = blockOf(serverLine(MESSAGE_ID, encodeURI(id)) + lines);
      const subject = subjectOf(prefix, envelope.topic);
      const size = Buffer.byteLength(body) + headers.byteLength;
      if (size > connection.maxPayload || Buffer.byteLength(subject) > SUBJECT_MAX_BYTES)
        throw new PayloadTooLargeError(
          `Message ${envelope.id} takes ${size} bytes with its headers; the server takes ${connection.maxPayload}.`,
        );
      sending.sentAt = environment.clock.now();
      const answered = (message: Msg) => this.#answered(sending, message);
      sending.token = inbox.ask(subject, body, { headers, answered });
    } catch (thrown) {
      this.#settle(sending, () => sending.reject(thrown as Error));
    }
  }

  #answered(sending: Sending, message: Msg): void {
    if (isNobody(message)) return this.#hold(sending);
    const { error } = readAnswer(message);
    if (error && isPassingCode(error)) return this.#hold(sending);
    this.#pauseMs = AGAIN_MS.min;
    this.#settle(sending, () => (error ? sending.reject(refusal(error)) : sending.resolve()));
  }

  #settle(sending: Sending, tell: () => void): void {
    if (!this.#open.delete(sending.number)) return;
    if (sending.token !== undefined) this.#ports.inbox.forget(sending.token);
    tell();
  }

  /** Not taken for now: an election, or the stream is gone. */
  #hold(sending: Sending): void {
    if (!this.#open.get(sending.number) || this.#held.includes(sending)) return;
    this.#held.push(sending);
    void this.#look();
    if (this.#retry !== undefined) return;
    const { clock } = this.#ports.environment;
    this.#retry = clock.setTimeout(() => {
      this.#retry = undefined;
      const held = this.#held.sort((one, other) => one.number - other.number);
      this.#held = [];
      for (const one of held) if (this.#open.get(one.number)) this.#send(one, one.sentAt > 0);
    }, this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, AGAIN_MS.max);
  }

  /** A publish without a stream has no answer if some transient subscription matches. */
  #watchSilence(): void {
    if (this.#watch !== undefined) return;
    const { clock } = this.#ports.environment;
    this.#watch = clock.setTimeout(() => {
      this.#watch = undefined;
      const now = clock.now();
      for (const sending of this.#open.values())
        if (sending.sentAt > 0 && now - sending.sentAt > SILENT_MS) this.#hold(sending);
      if (this.#open.size > 0) this.#watchSilence();
    }, SILENT_MS / 5);
  }

  /** Whether the stream is still there. */
  look(): void {
    void this.#look();
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { connection, stream, streamGone } = this.#ports;
    try {
      await connection.api((jsm) => jsm.streams.info(stream));
    } catch (error) {
      if (errorCode(error) === Code.streamNotFound) streamGone();
    } finally {
      this.#isLooking = false;
    }
  }

  #end(): void {
    const { environment, connection } = this.#ports;
    environment.clock.clearTimeout(this.#retry);
    environment.clock.clearTimeout(this.#watch);
    const lost: SessionLostError = connection.lostError();
    for (const sending of [...this.#open.values()]) this.#settle(sending, () => sending.reject(lost));
    this.#held = [];
  }
}
