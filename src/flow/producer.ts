import type { Clock } from '../model/clock.js';
import type { Envelope } from '../model/message.js';
import { OpenNumbersTracker } from '../model/open-numbers.js';
import { Lingering } from './lingering.js';
import type { Outgoing, OwnEnvelope } from './outgoing.js';

/** A checked message that has no number yet. */
export type Draft = Pick<Envelope, 'topic' | 'headers' | 'payload'>;

export interface ProducerOptions {
  readonly clock: Clock;
  /** The producer's name in ids: one run of the master. */
  readonly incarnation: string;
  /** CloudEvents `source` of every message. */
  readonly source: string;
  /** Numbers that stay open after nobody waits for their message any more. */
  readonly lingeringMax: number;
}

/** One run of a master as consumers know it: it numbers its messages, and says of each which numbers are open. */
export class Producer {
  readonly #options: ProducerOptions;
  readonly #numbers = new OpenNumbersTracker();
  readonly #lingering: Lingering;

  constructor(options: ProducerOptions) {
    this.#options = options;
    const { clock, lingeringMax } = options;
    this.#lingering = new Lingering({ clock, numbers: this.#numbers, max: lingeringMax });
  }

  number({ topic, headers, payload }: Draft): OwnEnvelope {
    const { clock, incarnation, source } = this.#options;
    const sequence = this.#numbers.next();
    return {
      id: `${incarnation}-${sequence}`,
      topic,
      time: clock.wall(),
      source,
      headers,
      payload,
      origin: { producer: incarnation, sequence, open: this.#numbers.ranges() },
      resent: false,
      fence: undefined,
    };
  }

  /** A copy of what may have been sent before. One of an earlier run, from the spool, keeps the numbers of that run. */
  again(envelope: OwnEnvelope): OwnEnvelope {
    if (!this.#isOwn(envelope)) return { ...envelope, resent: true };
    return { ...envelope, origin: { ...envelope.origin, open: this.#numbers.ranges() }, resent: true };
  }

  /** The broker has decided about it. */
  decided(message: Outgoing): void {
    if (!this.#isOwn(message.envelope)) return;
    const lingerMs = message.sendings > 1 ? message.over!.capabilities.lingerMs : 0;
    // A copy may still be under way on a connection that only this side has given up.
    if (lingerMs > 0) this.#lingering.keep(message, lingerMs);
    else this.#numbers.close(message.sequence);
  }

  /** Nobody will send it. */
  withdrawn(message: Outgoing): void {
    this.#numbers.close(message.sequence);
  }

  /** Its number stays open for so long: a copy may be under way, or be asked for. */
  keepOpen(message: Outgoing, forMs: number): void {
    this.#lingering.keep(message, forMs);
  }

  /** It is to be sent again; false if its number is closed, or another took it before. */
  takeAgain(message: Outgoing): boolean {
    return this.#lingering.take(message);
  }

  /** Of a message for which nobody waited any more: no copy can come. */
  confirmedLate(message: Outgoing): void {
    this.#lingering.close(message);
  }

  end(): void {
    this.#lingering.clear();
  }

  #isOwn({ origin }: OwnEnvelope): boolean {
    return origin.producer === this.#options.incarnation;
  }
}
