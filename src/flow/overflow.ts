import type { Backlog } from './backlog.js';
import type { Deadlines } from './deadlines.js';
import type { Line } from './line.js';
import type { Outgoing, Terms } from './outgoing.js';

/** So many messages go into the spool in one turn of the event loop, which others need too. */
const SPOOLED_AT_ONCE = 250;
/** A disk that has not taken a message by then is as good as none. */
const FLUSH_MS = 10_000;

export interface OverflowPorts {
  readonly backlog: Backlog;
  readonly line: Line;
  readonly pending: Deadlines<Outgoing>;
  /** In the line. */
  readonly waitingMax: number;
  /** There is no place for it in the spool, and its deadline has passed. */
  expire(message: Outgoing): void;
  /** Nobody waits for it any more. */
  satisfied(): void;
  isFlowing(): boolean;
  flow(): void;
}

/**
 * Moves messages into the spool: those that have passed their deadline, and, as long as the spool holds anything, those
 * that wait to be sent behind it. What is under a fence never goes there.
 */
export class Overflow {
  readonly #ports: OverflowPorts;
  /** Past their deadline; some may be at the broker. */
  readonly #overdue = new Set<Outgoing>();
  #soon = false;

  constructor(ports: OverflowPorts) {
    this.#ports = ports;
  }

  /** Whether a new message goes straight to the spool: it must not pass what is there, or nobody else has room for it. */
  takes(terms: Terms): boolean {
    if (terms.fence !== undefined) return false;
    return this.#isInTheWay || this.#ports.line.size >= this.#ports.waitingMax;
  }

  /** The spool holds what has to go first, and that is not on its way. */
  get #isInTheWay(): boolean {
    const { backlog } = this.#ports;
    return backlog.holdsAny && !(this.#ports.isFlowing() && backlog.isUnderWay);
  }

  /** Its publisher has waited long enough. */
  overdue(message: Outgoing): void {
    this.#overdue.add(message);
    this.#ports.pending.add(message, FLUSH_MS);
    this.soon();
  }

  /** It has come to its end. */
  forget(message: Outgoing): void {
    this.#overdue.delete(message);
  }

  /** Looks, at the end of the turn, for what has to move. */
  soon(): void {
    if (this.#soon) return;
    this.#soon = true;
    setImmediate(this.#move);
  }

  /** Its publisher is told as soon as it is flushed. */
  keep(message: Outgoing): void {
    const { line, pending, backlog } = this.#ports;
    this.#overdue.delete(message);
    if (message.state === 'waiting') {
      line.delete(message);
      message.state = 'spooled';
    }
    message.unlisten?.();
    pending.add(message, FLUSH_MS);
    if (line.size > 0) this.soon();
    backlog.keep(message).then(
      () => this.#flushed(message),
      (error: unknown) => this.#notFlushed(message, error),
    );
  }

  readonly #move = (): void => {
    this.#soon = false;
    const { backlog, line } = this.#ports;
    for (const message of first(this.#overdue, SPOOLED_AT_ONCE)) {
      if (backlog.refusal) this.#ports.expire(message);
      else this.keep(message);
    }
    if (this.#overdue.size > 0) this.soon();
    else if (this.#isInTheWay)
      for (const message of line.unfenced(SPOOLED_AT_ONCE)) {
        if (backlog.refusal) break;
        this.keep(message);
      }
    this.#ports.flow();
  };

  #flushed(message: Outgoing): void {
    this.#ports.pending.delete(message);
    message.resolve({ id: message.id, outcome: 'spooled' });
    // From now on what is read from the disk stands for it, unless the broker has it.
    if (message.state === 'spooled' && !this.#ports.backlog.isAway(message)) this.#leave(message);
    this.#ports.satisfied();
    this.#ports.flow();
  }

  #leave(message: Outgoing): void {
    message.state = 'ended';
    message.place = undefined;
    message.over = undefined;
  }

  #notFlushed(message: Outgoing, error: unknown): void {
    if (!message.place) return;
    this.#ports.backlog.drop(message);
    // Whether the broker has it is not known: the same as without a spool.
    if (message.sendings === 0) message.reject(error);
    this.#ports.expire(message);
    this.#ports.flow();
  }
}

function first<Item>(items: Iterable<Item>, count: number): Item[] {
  const found: Item[] = [];
  for (const item of items) {
    if (found.length === count) break;
    found.push(item);
  }
  return found;
}
