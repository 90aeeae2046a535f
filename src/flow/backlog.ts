import type { Clock, Timer } from '../model/clock.js';
import { delayMs } from '../model/backoff.js';
import { Outgoing, type OwnEnvelope, type Terms } from './outgoing.js';
import { isBefore, type Spool, type SpoolPlace } from './spool.js';

/** So many messages are read from the disk at once. */
const READ_AT_ONCE = 100;
/** Until what the broker refused for now is sent again. */
const RETRY = { minDelayMs: 100, maxDelayMs: 10_000 };
/** Nobody waits for what comes from the disk. */
const NO_TERMS: Terms = { timeoutMs: Infinity, fence: undefined, signal: undefined };
const nobody = (): void => {};

export interface BacklogOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly spool: Spool;
  /** There may be something to send. */
  readonly wake: () => void;
  /** The spool holds more, or less. */
  readonly changed: () => void;
  /** A message is set aside: the broker refuses it for good, or, if it is undefined, it cannot be read. */
  readonly refused: (message: Outgoing | undefined, reason: Error) => void;
}

/**
 * The messages of the outbox that are in the spool: which of them are at the broker, and which is the next. What is at or
 * before the cursor is at the broker; what comes back from there moves the cursor back.
 */
export class Backlog {
  readonly #options: BacklogOptions;
  readonly #spool: Spool;
  /** At the broker, by id. */
  readonly #away = new Map<string, Outgoing>();
  /** At the broker, which has let the deadline of their publisher pass. */
  readonly #late = new Set<Outgoing>();
  /** How many sessions had those that came back. */
  readonly #sendings = new Map<string, number>();
  #cursor: SpoolPlace | undefined;
  /** Read from behind the cursor, the next one last. */
  #ahead: Outgoing[] = [];
  /** Places that were found damaged. */
  readonly #damaged = new Set<string>();
  #refusals = 0;
  #pause: Timer | undefined;
  #stopped = false;

  constructor(options: BacklogOptions) {
    this.#options = options;
    this.#spool = options.spool;
  }

  get holdsAny(): boolean {
    return this.#spool.messages > 0;
  }

  /**
   * Whether a new message may go to the broker, behind all that the spool has sent there. Otherwise whoever awaits each
   * publish before the next would find the last one there, for ever. Not while the broker leaves one without an answer.
   */
  get isUnderWay(): boolean {
    return this.#spool.messages === this.#away.size && this.#late.size === 0;
  }

  get refusal(): Error | undefined {
    return this.#spool.refusal;
  }

  /** At the broker, without an answer. */
  get away(): readonly Outgoing[] {
    return [...this.#away.values()];
  }

  isAway(message: Outgoing): boolean {
    return this.#away.get(message.id) === message;
  }

  get isAnyAway(): boolean {
    return this.#away.size > 0;
  }

  /** A message of this process goes into the spool. Resolves when it is flushed. */
  keep(message: Outgoing): Promise<void> {
    const place = { generation: this.#spool.generation, sequence: message.sequence };
    const flushed = this.#spool.put(place, message.envelope);
    message.place = place;
    if (message.state === 'sent') {
      this.#away.set(message.id, message);
      this.#late.add(message);
    } else this.#waits(message);
    this.#options.changed();
    return flushed;
  }

  /** It could not be written. */
  drop(message: Outgoing): void {
    this.#forget(message);
    this.#options.changed();
  }

  /** The next one to be sent, if that is known and there is time for it now. */
  get next(): Outgoing | undefined {
    if (this.#pause) return undefined;
    if (this.#ahead.length === 0) this.#readAhead();
    return this.#ahead.at(-1);
  }

  /** Takes that one to the broker. */
  take(): Outgoing {
    const message = this.#ahead.pop()!;
    this.#cursor = message.place;
    this.#away.set(message.id, message);
    return message;
  }

  /** Whether a message that is not in the spool would pass one that waits there. */
  isPassedBy(message: Outgoing): boolean {
    if (this.#spool.messages <= this.#away.size) return false;
    const { next } = this;
    if (!next) return true;
    return isBefore(next.place!, { generation: this.#spool.generation, sequence: message.sequence });
  }

  /** It has come to its end. */
  remove(message: Outgoing): void {
    this.#spool.remove(message.place!);
    if (this.#refusals > 0 && this.#sendings.has(message.id)) this.#refusals = 0;
    this.#forget(message);
    this.#options.changed();
  }

  /** Its session is lost, or the broker does not take it for now. */
  giveBack(message: Outgoing): void {
    this.#away.delete(message.id);
    this.#late.delete(message);
    this.#waits(message);
  }

  /** The broker takes nothing for a while: it is asked again later, and later each time. */
  pause(): void {
    if (this.#pause || this.#stopped) return;
    this.#refusals += 1;
    const { clock, random } = this.#options;
    this.#pause = clock.setTimeout(
      () => {
        this.#pause = undefined;
        this.#options.wake();
      },
      RETRY.minDelayMs + delayMs({ ...RETRY, attempt: this.#refusals }, random),
    );
  }

  /** The broker refuses it for good. False if it could not be set aside: then it stays, and is sent again later. */
  async setAside(message: Outgoing, reason: Error): Promise<boolean> {
    try {
      await this.#spool.setAside(message.place!, reason);
      this.#options.refused(message, reason);
      this.#forget(message);
      return true;
    } catch {
      this.giveBack(message);
      this.pause();
      return false;
    } finally {
      this.#options.changed();
    }
  }

  /** Sends nothing more: what is on the disk stays there. */
  stop(): void {
    this.#stopped = true;
    this.#ahead = [];
    this.#options.clock.clearTimeout(this.#pause);
    this.#pause = undefined;
  }

  close(): Promise<void> {
    return this.#spool.close();
  }

  #waits(message: Outgoing): void {
    const { place, id, sendings } = message;
    if (sendings > 0) this.#sendings.set(id, sendings);
    // What was read ahead misses it.
    const last = this.#ahead[0];
    if (last && isBefore(place!, last.place!)) this.#ahead = [];
    if (this.#cursor && !isBefore(this.#cursor, place!)) this.#cursor = justBefore(place!);
  }

  #forget(message: Outgoing): void {
    this.#away.delete(message.id);
    this.#late.delete(message);
    this.#sendings.delete(message.id);
    message.place = undefined;
  }

  #readAhead(): void {
    if (this.#stopped || this.#spool.messages <= this.#away.size) return;
    for (;;) {
      const read = this.#spool.read(this.#cursor, READ_AT_ONCE);
      if (read.length === 0) return;
      for (const { place, envelope } of read)
        if (envelope instanceof Error) void this.#setDamagedAside(place, envelope);
        else if (!this.#away.has(envelope.id)) this.#ahead.push(this.#revive(place, envelope));
      this.#ahead.reverse();
      if (this.#ahead.length > 0) return;
      this.#cursor = read.at(-1)!.place;
    }
  }

  async #setDamagedAside(place: SpoolPlace, reason: Error): Promise<void> {
    const name = `${place.generation}/${place.sequence}`;
    if (this.#damaged.has(name)) return;
    this.#damaged.add(name);
    try {
      await this.#spool.setAside(place, reason);
      this.#options.refused(undefined, reason);
    } catch {
      // It stays there, and is passed over.
    }
    this.#options.changed();
    this.#options.wake();
  }

  #revive(place: SpoolPlace, envelope: OwnEnvelope): Outgoing {
    const message = new Outgoing(envelope, NO_TERMS, nobody, nobody);
    message.state = 'spooled';
    message.place = place;
    // Nobody knows what an earlier process had sent.
    const unknown = place.generation < this.#spool.generation ? 1 : 0;
    message.sendings = this.#sendings.get(message.id) ?? unknown;
    return message;
  }
}

function justBefore({ generation, sequence }: SpoolPlace): SpoolPlace {
  return { generation, sequence: sequence - 1 };
}
