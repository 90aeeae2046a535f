import type { Channel, ConsumeMessage } from 'amqplib';
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../../model/clock.js';
import { FencedError, ProtocolError, QueueDeletedError } from '../../model/errors.js';
import type { Connection } from './connection.js';
import type { Direct } from './direct.js';
import { decodeToken, encodeToken, isNewer, type Token } from './token.js';

const PREFETCH = 64;
/** Until an empty token queue is knocked at again. */
const KNOCK_AGAIN_MS = 10_000;

export interface TokenPorts {
  readonly connection: Connection;
  readonly direct: Direct;
  readonly clock: Clock;
  /** Where this session hears of holders. */
  readonly inbox: string;
  /** The name of this channel: nobody else's, and no other of this claim's. */
  readonly id: string;
  readonly queue: string;
  readonly tokens: string;
}

export interface TokenSink {
  /** This channel alone is delivered the tokens; the newest that there is. */
  won(token: Token | undefined): void;
  /** The token that was given back has come again. */
  answered(): void;
  /** Another master stands for the queue. */
  knocked(inbox: string): void;
  /** Ended by the broker; a QueueDeletedError if the token queue is gone. */
  ended(reason: Error): void;
}

interface Saving {
  readonly token: Token;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * A consumer of a token queue, of which one at a time is active. Who is active learns that by a knock of its own: one sent
 * after its first delivery, and after the last token, comes back behind every token that there is.
 */
export class TokenChannel {
  readonly #ports: TokenPorts;
  readonly #sink: TokenSink;
  readonly #saving: Saving[] = [];
  #channel: Channel | undefined;
  #knocks = 0;
  #knockTimer: Timer | undefined;
  #isActive = false;
  #hasWon = false;
  #newest: Token | undefined;
  /** The message of the newest, while it is here. */
  #held: ConsumeMessage | undefined;
  #givenBack: Token | undefined;
  #isOpen = true;

  constructor(ports: TokenPorts, sink: TokenSink) {
    this.#ports = ports;
    this.#sink = sink;
  }

  /** Whether deliveries have begun: then no other is active. */
  get isActive(): boolean {
    return this.#isActive;
  }

  async open(): Promise<void> {
    const { connection, tokens } = this.#ports;
    const channel = await connection.channel();
    this.#channel = channel;
    const reason = new FencedError('The broker has closed the token channel.');
    let isOurs = false;
    channel.on('close', () => (isOurs = !this.#stop(reason)));
    connection.whenAlone(channel, () => {
      if (!isOurs) this.#sink.ended(reason);
    });
    await channel.prefetch(PREFETCH);
    await channel.consume(tokens, (message) => this.#hear(message));
    if (this.#isOpen) this.#knock();
  }

  /**
   * Publishes the next token. Resolves when it is delivered here: a former owner's is confirmed as well, but only the owner is
   * delivered it.
   */
  save(token: Token): Promise<void> {
    if (!this.#isOpen) return Promise.reject(new FencedError('The ownership has ended.'));
    return new Promise((resolve, reject) => {
      this.#saving.push({ token, resolve, reject });
      this.#send('token', encodeToken(token));
    });
  }

  /** Gives the newest token back to the broker, which delivers it to the active consumer. False if it is under way already. */
  giveBack(): boolean {
    if (!this.#held || !this.#isOpen) return false;
    this.#channel!.nack(this.#held, false, true);
    this.#held = undefined;
    this.#givenBack = this.#newest;
    return true;
  }

  /** The token goes to the next in line. */
  async close(): Promise<void> {
    const channel = this.#channel;
    if (!this.#stop(new FencedError('The ownership has ended.')) || !channel) return;
    await this.#ports.connection.closeChannel(channel);
  }

  #stop(reason: Error): boolean {
    if (!this.#isOpen) return false;
    this.#isOpen = false;
    this.#ports.clock.clearTimeout(this.#knockTimer);
    for (const { reject } of this.#saving.splice(0)) reject(reason);
    return true;
  }

  #end(reason: Error): void {
    if (this.#stop(reason)) this.#sink.ended(reason);
  }

  #knock(): void {
    const { id, inbox, clock } = this.#ports;
    const number = ++this.#knocks;
    this.#send('knock', Buffer.from(JSON.stringify({ id, number, inbox })));
    clock.clearTimeout(this.#knockTimer);
    if (this.#isActive) return;
    this.#knockTimer = clock.setTimeout(() => {
      if (!this.#isActive) this.#knock();
    }, KNOCK_AGAIN_MS);
  }

  #send(type: 'token' | 'knock', body: Buffer): void {
    const { direct, tokens } = this.#ports;
    direct.send(tokens, body, { type, persistent: type === 'token' }).then(
      (isThere) => {
        if (!isThere) void this.#gone();
      },
      // At the end of the session.
      () => {},
    );
  }

  async #gone(): Promise<void> {
    const channel = this.#channel;
    this.#end(deleted(this.#ports.queue));
    if (channel) await this.#ports.connection.closeChannel(channel);
  }

  #hear(message: ConsumeMessage | null): void {
    if (!this.#isOpen) return;
    if (!message) return void this.#gone();
    const isFirst = !this.#isActive;
    this.#isActive = true;
    const type: unknown = message.properties.type;
    if (type === 'token') return this.#token(message);
    this.#channel!.ack(message);
    if (isFirst) this.#knock();
    else if (type === 'knock') this.#knocked(message);
  }

  #knocked(message: ConsumeMessage): void {
    let knock: { id?: unknown; number?: unknown; inbox?: unknown };
    try {
      knock = JSON.parse(message.content.toString()) as typeof knock;
    } catch {
      return;
    }
    if (knock.id !== this.#ports.id) {
      if (typeof knock.inbox === 'string') this.#sink.knocked(knock.inbox);
    } else if (!this.#hasWon && knock.number === this.#knocks) {
      this.#hasWon = true;
      this.#sink.won(this.#newest);
    }
  }

  #token(message: ConsumeMessage): void {
    const token = decodeToken(message.content);
    if (token === 'newer') {
      const text = `The record of queue "${this.#ports.queue}" was written by a newer signalbox: upgrade this one.`;
      const channel = this.#channel;
      this.#end(new ProtocolError(text));
      return void (channel && this.#ports.connection.closeChannel(channel));
    }
    const isBack = token !== undefined && isDeepStrictEqual(nameOf(token), nameOf(this.#givenBack));
    if (token && isNewer(token, this.#newest)) {
      // Not before its successor is here: if we die between the two, both go on, and the newer one counts.
      if (this.#held) this.#channel!.ack(this.#held);
      this.#newest = token;
      this.#held = message;
      this.#proven(token);
    } else if (token && !isNewer(this.#newest!, token) && !this.#held) this.#held = message;
    else this.#channel!.ack(message);
    if (!this.#hasWon) this.#knock();
    if (isBack) {
      this.#givenBack = undefined;
      this.#sink.answered();
    }
  }

  #proven(token: Token): void {
    while (this.#saving.length > 0 && !isNewer(this.#saving[0]!.token, token))
      this.#saving.shift()!.resolve();
  }
}

export function deleted(queue: string): QueueDeletedError {
  return new QueueDeletedError(`Queue "${queue}" was deleted; what it held is gone.`);
}

function nameOf(token: Token | undefined): unknown {
  return token && [token.epoch, token.sequence];
}
