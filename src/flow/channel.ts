import type { Session } from '../backend.js';
import { isRetryable, SessionLostError } from '../model/errors.js';
import { brokerError } from '../model/secrets.js';
import type { Backlog } from './backlog.js';
import { Confirms } from './confirms.js';
import { Line } from './line.js';
import type { Outgoing, OwnEnvelope } from './outgoing.js';

export interface ChannelPorts {
  /** Unanswered at a time. */
  readonly window: number;
  readonly backlog: Backlog | undefined;
  /** What is sent of a message that may have been sent before. */
  again(envelope: OwnEnvelope): OwnEnvelope;
  confirmed(message: Outgoing): void;
  /** Its publisher had been told before. */
  confirmedLate(message: Outgoing): void;
  refused(message: Outgoing, error: Error): void;
  /** What waits can't be sent for now. */
  held(): void;
  /** Something has come back from the broker. */
  cameBack(): void;
}

/**
 * The way to the broker: a window of unanswered messages, a line behind it, and before the line what is in the spool. What
 * a lost session left without an answer is sent again over the next, first and in order, flagged.
 */
export class Channel {
  readonly line = new Line();
  readonly #ports: ChannelPorts;
  readonly #confirms: Confirms;
  #sentCount = 0;
  #session: Session | undefined;
  #flowing = false;

  constructor(ports: ChannelPorts) {
    this.#ports = ports;
    this.#confirms = new Confirms({
      confirmed: (messages, over) => {
        for (const message of messages) this.#confirmed(message, over);
        this.flow();
      },
      refused: (messages, over, error) => {
        for (const message of messages) this.#refused(message, over, error);
        // What a lost session had waits for the next one.
        if (!(error instanceof SessionLostError)) this.flow();
      },
    });
  }

  get isFlowing(): boolean {
    return this.#flowing;
  }

  /** From now on over this session. Of `messages` those go first that the one before left without an answer. */
  open(session: Session, messages: readonly Outgoing[]): void {
    this.#session = session;
    this.#flowing = true;
    for (const message of [...messages, ...(this.#ports.backlog?.away ?? [])])
      if (message.state === 'sent' && message.over !== session) this.#takeBack(message);
    this.flow();
  }

  /** The broker takes nothing for now, or there is none. */
  hold(): void {
    this.#flowing = false;
    if (this.line.size > 0) this.#ports.held();
  }

  /** Sends it, or puts it at the end of the line. */
  add(message: Outgoing): void {
    if (this.#mayFlow() && this.line.size === 0) this.#send(message, this.#session!);
    else this.line.add(message);
  }

  /** Sends what may be sent. */
  flow(): void {
    while (this.#mayFlow()) {
      const message = this.#next();
      if (!message) return;
      this.#send(message, this.#session!);
    }
  }

  /** It has come to its end. */
  remove(message: Outgoing): void {
    if (message.state === 'sent') this.#sentCount--;
    else if (message.state === 'waiting') this.line.delete(message);
    message.state = 'ended';
  }

  #mayFlow(): boolean {
    return this.#flowing && this.#sentCount < this.#ports.window;
  }

  /** What is under a fence waits for nothing in the spool: a handler must not wait for a queue that it empties. */
  #next(): Outgoing | undefined {
    const { backlog } = this.#ports;
    if (!backlog?.holdsAny) return this.line.take();
    const { first } = this.line;
    if (first && (first.terms.fence || !backlog.isPassedBy(first))) return this.line.take();
    return backlog.next && backlog.take();
  }

  #send(message: Outgoing, session: Session): void {
    const envelope = message.sendings === 0 ? message.envelope : this.#ports.again(message.envelope);
    message.state = 'sent';
    message.over = session;
    message.sendings++;
    this.#sentCount++;
    this.#confirms.send(message, envelope, session);
  }

  #confirmed(message: Outgoing, over: Session): void {
    if (message.over !== over) return;
    if (message.state === 'sent') this.#ports.confirmed(message);
    else if (message.state === 'ended') this.#ports.confirmedLate(message);
  }

  #refused(message: Outgoing, over: Session, error: unknown): void {
    if (message.state !== 'sent' || message.over !== over) return;
    if (error instanceof SessionLostError) this.#takeBack(message);
    else if (message.place) this.#spooledRefused(message, this.#ports.backlog!, brokerError(error));
    else this.#ports.refused(message, brokerError(error));
  }

  /** What the broker may take later stays in the spool, and holds what comes after it. */
  #spooledRefused(message: Outgoing, backlog: Backlog, error: Error): void {
    this.#sentCount--;
    message.state = 'spooled';
    if (isRetryable(error)) {
      backlog.giveBack(message);
      backlog.pause();
      return this.#ports.cameBack();
    }
    void backlog.setAside(message, error).then((isAside) => {
      if (isAside) this.#ports.refused(message, error);
      this.#ports.cameBack();
      this.flow();
    });
  }

  /** Its session is lost. */
  #takeBack(message: Outgoing): void {
    this.#sentCount--;
    if (message.place) {
      message.state = 'spooled';
      this.#ports.backlog!.giveBack(message);
    } else {
      message.state = 'waiting';
      this.line.putBack(message);
    }
    if (this.line.size > 0) this.#ports.held();
    this.#ports.cameBack();
  }
}
