import type { Holder, LetterDetails, QueueSpec, QueueStatus } from '../../backend.js';
import type { Envelope } from '../../model/message.js';
import type { Clock, Timer } from '../../model/clock.js';
import { FencedError, QueueDeletedError } from '../../model/errors.js';
import type { Journal } from './journal.js';
import { ReadyList } from './ready-list.js';

/** A message in its place in one durable queue. */
export interface Entry {
  readonly position: number;
  readonly envelope: Envelope;
  readonly redrives: number;
  /** Handler calls known to have begun. */
  attempts: number;
  redelivered: boolean;
  /** A call has begun since the entry was last handed over. */
  begun: boolean;
}

export interface Letter extends LetterDetails {
  readonly id: string;
  readonly envelope: Envelope;
  readonly redrives: number;
  readonly at: number;
}

/** One consumer of the queue: a session's, with its credit. */
export interface Taker {
  readonly prefetch: number;
  /** In the order they were handed over. */
  readonly held: Set<Entry>;
  deliver(entry: Entry): void;
  /** The queue is gone. */
  lost(reason: Error): void;
}

/** Somebody who stands for the ownership. */
export interface Claimant {
  readonly master: string;
  granted(epoch: number): void;
  standby(holder: Holder): void;
  fenced(reason: Error): void;
  lost(reason: Error): void;
}

/**
 * One durable queue of the hub. Everything is decided in one thread, so a grant, an ack, a save and a fence are plain
 * comparisons: whoever is not `owner` now is refused.
 */
export class DurableQueue {
  readonly bindings = new Set<string>();
  readonly letters = new Map<string, Letter>();
  readonly takers: Taker[] = [];
  readonly standbys: Claimant[] = [];
  owner: Claimant | undefined;
  epoch = 0;
  checkpoint: Uint8Array | undefined;

  readonly #ready = new ReadyList<Entry>();
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #expired: () => void;
  #ownerHasBound = false;
  #nextPosition = 1;
  #unsettled = 0;
  #nextTaker = 0;
  #expiry: Timer | undefined;

  constructor(
    readonly id: string,
    readonly spec: QueueSpec,
    ports: { journal: Journal; clock: Clock; expired: () => void },
  ) {
    this.#journal = ports.journal;
    this.#clock = ports.clock;
    this.#expired = ports.expired;
    this.#watchExpiry();
  }

  get depth(): number {
    return this.#ready.size + this.#unsettled;
  }

  get isFull(): boolean {
    const limit = this.spec.limit;
    return limit?.onFull === 'reject-publish' && this.depth >= limit.messages;
  }

  /** Takes a message at the tail; `dispatch` hands it on once it is safe. */
  append(envelope: Envelope, redrives = 0): void {
    const limit = this.spec.limit;
    if (limit?.onFull === 'drop-oldest' && this.depth >= limit.messages) {
      const oldest = this.#ready.take();
      if (oldest) this.#journal.removeEntry(this, oldest);
    }
    const position = this.#nextPosition++;
    const redelivered = redrives > 0;
    const entry: Entry = { position, envelope, redrives, attempts: 0, redelivered, begun: false };
    this.#ready.append(entry);
    this.#journal.putEntry(this, entry);
  }

  /** Hands ready messages to takers with credit, in turn. */
  dispatch(): void {
    while (this.#ready.size > 0) {
      const taker = this.#takerWithCredit();
      if (!taker) return;
      const entry = this.#ready.take()!;
      this.#unsettled++;
      taker.held.add(entry);
      taker.deliver(entry);
    }
  }

  addTaker(taker: Taker): void {
    this.takers.push(taker);
    this.#watchExpiry();
    this.dispatch();
  }

  /** Gives back what the taker holds. After a crash nobody knows what had begun: then all of it comes flagged. */
  removeTaker(taker: Taker, how: 'closed' | 'crashed'): void {
    const at = this.takers.indexOf(taker);
    if (at < 0) return;
    this.takers.splice(at, 1);
    for (const entry of taker.held) {
      if (entry.begun || how === 'crashed') entry.redelivered = true;
      entry.begun = false;
      this.#journal.putEntry(this, entry);
    }
    this.#ready.giveBack([...taker.held]);
    this.#unsettled -= taker.held.size;
    taker.held.clear();
    this.#watchExpiry();
    this.dispatch();
  }

  begin(entry: Entry, attempt: number): void {
    entry.attempts = attempt;
    entry.begun = true;
    this.#journal.putEntry(this, entry);
  }

  cutOff(entry: Entry): void {
    entry.attempts--;
    this.#journal.putEntry(this, entry);
  }

  /** False if the taker does not hold it any more. */
  settle(taker: Taker, entry: Entry): boolean {
    if (!taker.held.delete(entry)) return false;
    this.#unsettled--;
    this.#journal.removeEntry(this, entry);
    return true;
  }

  bury(entry: Entry, details: LetterDetails): void {
    const id = `${this.spec.name}/${entry.envelope.id}/${entry.redrives}`;
    const { envelope, redrives } = entry;
    const letter: Letter = { ...details, id, envelope, redrives, at: this.#clock.wall() };
    this.letters.set(id, letter);
    this.#journal.putLetter(this, letter);
  }

  takeLetters(ids: readonly string[] | undefined): Letter[] {
    const wanted = ids ?? [...this.letters.keys()];
    const taken: Letter[] = [];
    for (const id of wanted) {
      const letter = this.letters.get(id);
      if (!letter || !this.letters.delete(id)) continue;
      this.#journal.removeLetter(this, letter);
      taken.push(letter);
    }
    return taken;
  }

  claim(claimant: Claimant): void {
    this.standbys.push(claimant);
    this.#watchExpiry();
    if (!this.owner) this.#grantNext();
    else if (this.#ownerHasBound) claimant.standby(this.#holder(this.owner));
  }

  /** Ends a claim of whatever state; the next in line is granted. */
  withdraw(claimant: Claimant): void {
    const at = this.standbys.indexOf(claimant);
    if (at >= 0) this.standbys.splice(at, 1);
    if (this.owner === claimant) {
      this.owner = undefined;
      this.#grantNext();
    }
    this.#watchExpiry();
  }

  /** The owner's binding set is in place: standbys may rely on it. */
  bound(): void {
    this.#journal.putQueue(this);
    if (this.#ownerHasBound || !this.owner) return;
    this.#ownerHasBound = true;
    const holder = this.#holder(this.owner);
    for (const claimant of [...this.standbys]) claimant.standby(holder);
  }

  save(checkpoint: Uint8Array): void {
    this.checkpoint = checkpoint;
    this.#journal.putQueue(this);
  }

  /** The queue ceases to be. */
  destroy(): void {
    this.#clock.clearTimeout(this.#expiry);
    const reason = new QueueDeletedError(`Queue "${this.spec.name}" was deleted; what it held is gone.`);
    const everybody = [...this.takers, ...(this.owner ? [this.owner] : []), ...this.standbys];
    this.takers.length = 0;
    this.standbys.length = 0;
    this.owner = undefined;
    this.#journal.removeQueue(this);
    for (const one of everybody) one.lost(reason);
  }

  status(): QueueStatus {
    const oldest = this.#ready.peek();
    return {
      name: this.spec.name,
      ownership: this.spec.ownership,
      bindings: [...this.bindings].sort(),
      depth: this.depth,
      depthKind: 'all',
      owner: this.owner?.master,
      epoch: this.epoch,
      standbys: this.standbys.map((claimant) => claimant.master),
      state: this.takers.length > 0 ? 'active' : this.owner || this.standbys.length > 0 ? 'standby' : 'idle',
      oldestAt: oldest?.envelope.time,
    };
  }

  #holder({ master }: Claimant): Holder {
    return { owner: master, epoch: this.epoch, queueId: this.id };
  }

  #grantNext(): void {
    const next = this.standbys.shift();
    if (!next) return;
    // A record that starts anew must not turn fences backwards, so the first epoch is a time.
    this.epoch = this.epoch === 0 ? this.#clock.wall() : this.epoch + 1;
    this.owner = next;
    this.#ownerHasBound = false;
    this.#journal.putQueue(this);
    next.granted(this.epoch);
  }

  #takerWithCredit(): Taker | undefined {
    for (let tried = 0; tried < this.takers.length; tried++) {
      const taker = this.takers[this.#nextTaker++ % this.takers.length]!;
      if (taker.held.size < taker.prefetch) return taker;
    }
    return undefined;
  }

  #watchExpiry(): void {
    const { expiresMs } = this.spec;
    if (expiresMs === undefined) return;
    this.#clock.clearTimeout(this.#expiry);
    this.#expiry = undefined;
    if (this.takers.length > 0 || this.owner || this.standbys.length > 0) return;
    this.#expiry = this.#clock.setTimeout(this.#expired, expiresMs);
  }
}

/** What a former owner is told. */
export function fencedBy(queue: DurableQueue): FencedError {
  return new FencedError(
    `Queue "${queue.spec.name}" has another owner (epoch ${queue.epoch}): this one's ownership has ended.`,
  );
}
