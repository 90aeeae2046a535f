import type { Ownership, Session } from '../../src/backend.js';
import { Tally } from '../../src/flow/tally.js';
import { Outbox, type OutboxOptions } from '../../src/flow/outbox.js';
import type { OwnEnvelope } from '../../src/flow/outgoing.js';
import { isBefore, type Spool, type SpoolPlace, type SpooledMessage } from '../../src/flow/spool.js';
import { SessionLostError, SpoolFullError } from '../../src/model/errors.js';
import type { Envelope } from '../../src/model/message.js';
import { Payload } from '../../src/model/payload.js';
import type { Receipt } from '../../src/model/receipt.js';
import { virtualEnvironment, type VirtualClock } from '../../src/testing/virtual-clock.js';

interface Kept {
  readonly place: SpoolPlace;
  readonly envelope: OwnEnvelope | Error;
}

/** What survives a process. */
export class FakeDisk {
  generation = 0;
  kept: Kept[] = [];
  readonly setAside: string[] = [];

  get ids(): string[] {
    return this.kept.map(({ envelope }) => (envelope instanceof Error ? 'damaged' : envelope.id));
  }
}

interface Change {
  readonly place: SpoolPlace;
  readonly envelope: OwnEnvelope | undefined;
  readonly settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
}

/** A spool whose disk is in the test's hand: what was changed is on it after `flush`. */
export class FakeSpool implements Spool {
  readonly generation: number;
  closed = false;
  /** How many may be kept. */
  messagesMax = Infinity;
  #changes: Change[] = [];
  #now: Kept[];

  constructor(readonly disk: FakeDisk) {
    this.generation = ++disk.generation;
    this.#now = [...disk.kept];
  }

  get messages(): number {
    return this.#now.length;
  }

  get refusal(): Error | undefined {
    return this.#now.length >= this.messagesMax ? new SpoolFullError('full') : undefined;
  }

  get bytes(): number {
    return 100 * this.#now.length;
  }

  put(place: SpoolPlace, envelope: OwnEnvelope): Promise<void> {
    this.#now = without(this.#now, place);
    this.#now.push({ place, envelope });
    return new Promise((resolve, reject) =>
      this.#changes.push({ place, envelope, settle: { resolve, reject } }),
    );
  }

  remove(place: SpoolPlace): void {
    if (this.closed) return;
    this.#now = without(this.#now, place);
    this.#changes.push({ place, envelope: undefined, settle: undefined });
  }

  read(after: SpoolPlace | undefined, count: number): readonly SpooledMessage[] {
    const puts = this.#changes.filter(({ envelope }) => envelope);
    return this.disk.kept
      .filter(({ place }) => !after || isBefore(after, place))
      .filter(({ place }) => puts.every((put) => isBefore(place, put.place)))
      .filter(({ place }) => this.#now.some((kept) => isSame(kept.place, place)))
      .slice(0, count);
  }

  async setAside(place: SpoolPlace): Promise<void> {
    const kept = this.#now.find((one) => isSame(one.place, place))!;
    this.disk.setAside.push(kept.envelope instanceof Error ? 'damaged' : kept.envelope.id);
    this.remove(place);
  }

  async close(): Promise<void> {
    this.flush();
    this.closed = true;
  }

  flush(): void {
    for (const { place, envelope, settle } of this.#changes.splice(0)) {
      this.disk.kept = without(this.disk.kept, place);
      if (envelope) this.disk.kept.push({ place, envelope });
      settle?.resolve();
    }
    this.disk.kept.sort((one, other) => (isBefore(one.place, other.place) ? -1 : 1));
  }

  /** Nothing of what was not flushed gets there. */
  fail(error: Error): void {
    for (const { place, settle } of this.#changes.splice(0)) {
      this.#now = without(this.#now, place);
      settle?.reject(error);
    }
  }
}

function isSame(one: SpoolPlace, other: SpoolPlace): boolean {
  return one.generation === other.generation && one.sequence === other.sequence;
}

function without(kept: readonly Kept[], place: SpoolPlace): Kept[] {
  return kept.filter((one) => !isSame(one.place, place));
}

interface Sent {
  readonly envelope: Envelope;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A broker connection that answers when it is told to. */
export class FakeSession {
  readonly sent: Envelope[] = [];
  unanswered: Sent[] = [];
  isLost = false;
  readonly capabilities: { lingerMs: number };

  constructor(lingerMs = 0) {
    this.capabilities = { lingerMs };
  }

  /** What was sent, flagged copies with a `!`. */
  get shown(): string[] {
    return this.sent.map(({ id, resent }) => `${id}${resent ? '!' : ''}`);
  }

  publish(envelope: Envelope): Promise<void> {
    if (this.isLost) return Promise.reject(new SessionLostError('lost'));
    this.sent.push(envelope);
    return new Promise((resolve, reject) => this.unanswered.push({ envelope, resolve, reject }));
  }

  confirm(count = Infinity): Envelope[] {
    const confirmed = this.unanswered.splice(0, count);
    for (const { resolve } of confirmed) resolve();
    return confirmed.map(({ envelope }) => envelope);
  }

  refuse(error: Error, at = 0): void {
    for (const { reject } of this.unanswered.splice(at, 1)) reject(error);
  }

  lose(): void {
    this.isLost = true;
    for (const { reject } of this.unanswered.splice(0)) reject(new SessionLostError('lost'));
  }
}

export const fence = { queue: 'q', epoch: 1, valid: () => true } as unknown as Ownership;

/** An outbox with a spool, a virtual clock, and a broker that does as it is told. */
export class SpoolingLab {
  readonly clock: VirtualClock;
  readonly spool: FakeSpool;
  readonly outbox: Outbox;
  readonly results = new Map<number, string>();
  readonly warnings: string[] = [];
  session: FakeSession | undefined;
  #published = 0;

  constructor(
    readonly disk = new FakeDisk(),
    options: Partial<OutboxOptions> & { name?: string } = {},
  ) {
    const { clock, random } = virtualEnvironment();
    this.clock = clock;
    this.spool = new FakeSpool(disk);
    this.outbox = new Outbox({
      tally: new Tally(),
      clock,
      incarnation: options.name ?? 'p',
      source: 'signalbox:lab/m',
      window: 3,
      waitingMax: 100,
      spooling: {
        spool: this.spool,
        random,
        changed: () => {},
        refused: (message) => this.warnings.push(message?.id ?? 'damaged'),
      },
      ...options,
    });
  }

  /** The outcome of the publish of that number: of this lab, from 1. */
  publish(timeoutMs = 100, under?: Ownership, signal?: AbortSignal): Promise<Receipt> {
    const number = ++this.#published;
    const draft = {
      topic: under ? 'under.a.fence' : 'a',
      headers: {},
      payload: Payload.of({ number }, { maxBytes: 1_000 }),
    };
    const receipt = this.outbox.publish(draft, { timeoutMs, fence: under, signal });
    receipt.then(
      ({ outcome }) => this.results.set(number, outcome),
      (error: unknown) => this.results.set(number, (error as { code?: string }).code ?? 'aborted'),
    );
    return receipt;
  }

  /** `n` publishes that end with the same deadline. */
  async publishMany(count: number, timeoutMs?: number): Promise<void> {
    for (let at = 0; at < count; at++) void this.publish(timeoutMs).catch(() => {});
    await this.settle();
  }

  connect(lingerMs = 0): FakeSession {
    this.session = new FakeSession(lingerMs);
    this.outbox.open(this.session as unknown as Session);
    return this.session;
  }

  disconnect(): void {
    this.outbox.hold();
    this.session?.lose();
    this.session = undefined;
  }

  /** Time passes, and whatever does not need more of it settles. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async flush(): Promise<void> {
    await this.settle();
    this.spool.flush();
    await this.settle();
  }

  /** The outcomes in the order of the publishes; `-` for what is open. */
  get outcomes(): string[] {
    return Array.from({ length: this.#published }, (_, at) => this.results.get(at + 1) ?? '-');
  }
}
