import type { Ownership, Refusals, Session } from '../../src/backend.js';
import { Tally } from '../../src/flow/tally.js';
import { Outbox } from '../../src/flow/outbox.js';
import { SessionLostError } from '../../src/model/errors.js';
import type { Envelope } from '../../src/model/message.js';
import { isOpen } from '../../src/model/open-numbers.js';
import { Payload } from '../../src/model/payload.js';
import type { Receipt } from '../../src/model/receipt.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';

/** A message that a session was given, and what the session will say of it. */
export interface Handed {
  readonly envelope: Envelope;
  readonly fence: Ownership | undefined;
  confirm(): void;
  refuse(error: Error): void;
}

/** A session that takes everything and says nothing before it is told to. */
export class FakeSession {
  readonly handed: Handed[] = [];
  readonly capabilities: { lingerMs: number };
  /** Given for each message as long as it is set. */
  answer: Promise<Refusals | void> | undefined;

  /** `look` sees each message at the moment at which it is handed over. */
  constructor(
    lingerMs = 0,
    readonly look: (handed: Handed) => void = () => {},
  ) {
    this.capabilities = { lingerMs };
  }

  publish(envelope: Envelope, fence?: Ownership): Promise<Refusals | void> {
    let confirm!: () => void;
    let refuse!: (error: Error) => void;
    const own = new Promise<void>((resolve, reject) => {
      confirm = resolve;
      refuse = reject;
    });
    const handed: Handed = { envelope, fence, confirm, refuse };
    this.handed.push(handed);
    this.look(handed);
    return this.answer ?? own;
  }

  /** As a connection does when it ends: all that is unanswered is refused. */
  lose(): void {
    for (const { refuse } of this.handed) refuse(new SessionLostError('cut'));
  }

  /** What it was given: `3`, or `3 again` for a flagged copy. */
  get story(): string[] {
    return this.handed.map(({ envelope }) => `${sequenceOf(envelope)}${envelope.resent ? ' again' : ''}`);
  }

  /** By sequence number; the last copy that it was given. */
  of(sequence: number): Handed {
    return this.handed.findLast(({ envelope }) => sequenceOf(envelope) === sequence)!;
  }
}

export type Outcome = { readonly receipt: Receipt } | { readonly error: Error };

/** An outbox under a virtual clock, and how each of its publishes ended. */
export class OutboxLab {
  readonly clock = new VirtualClock();
  readonly outbox: Outbox;
  /** By sequence number; a retry puts its own end in the place of the first. */
  readonly outcomes = new Map<number, Outcome>();

  constructor(limits: { window?: number; waitingMax?: number } = {}) {
    const { window = 3, waitingMax = 100 } = limits;
    this.outbox = new Outbox({
      tally: new Tally(),
      clock: this.clock,
      incarnation: 'p',
      source: 'signalbox:n/m',
      window,
      waitingMax,
      spooling: undefined,
    });
  }

  open(session: FakeSession): void {
    this.outbox.open(session as unknown as Session);
  }

  publish(data: unknown = null, terms: { timeoutMs?: number; signal?: AbortSignal; fence?: Ownership } = {}) {
    const { timeoutMs = 1_000, signal, fence } = terms;
    const draft = { topic: 'a', headers: {}, payload: Payload.of(data, { maxBytes: 1_000 }) };
    return this.outbox.publish(draft, { timeoutMs, signal, fence });
  }

  /** Publishes and notes how it ends, under the number that it will have. */
  note(sequence: number, publish: Promise<Receipt>): void {
    publish.then(
      (receipt) => this.outcomes.set(sequence, { receipt }),
      (error: unknown) => this.outcomes.set(sequence, { error: error as Error }),
    );
  }

  /** Publishes so many; their numbers go on from `first`. */
  publishMany(first: number, last: number): void {
    for (let sequence = first; sequence <= last; sequence++) this.note(sequence, this.publish());
  }

  /** Lets promises settle. */
  async settle(): Promise<void> {
    await this.clock.advance(0);
  }

  errorOf(sequence: number): Error | undefined {
    const outcome = this.outcomes.get(sequence);
    return outcome && 'error' in outcome ? outcome.error : undefined;
  }

  get confirmed(): number[] {
    return [...this.outcomes].flatMap(([sequence, outcome]) => ('receipt' in outcome ? [sequence] : []));
  }

  /** What the next message says of this number. */
  async isOpenNow(sequence: number, over: FakeSession): Promise<boolean> {
    void this.publish().catch(() => {});
    const { origin } = over.handed.at(-1)!.envelope;
    return isOpen(origin!.open, sequence);
  }
}

export function sequenceOf({ origin }: Envelope): number {
  return origin!.sequence;
}
