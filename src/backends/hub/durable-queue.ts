import type { Holder, LetterDetails, QueueSpec, QueueStatus } from '../../backend.js';
import type { Envelope } from '../../model/message.js';
import type { Clock } from '../../model/clock.js';
import { Brim } from '../../model/brim.js';
import { FencedError, QueueDeletedError } from '../../model/errors.js';
import { IdleExpiry } from './idle-expiry.js';
import type { Journal } from './journal.js';
import type { Operations, Worker } from './operations.js';
import type { Claimant, Entry, KeptQueue, Letter, Taker } from './queue-parts.js';
import { ReadyList } from './ready-list.js';

export interface QueuePorts {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly operations: Operations;
  readonly expired: () => void;
}

/**
 * One durable queue of the hub. Everything is decided in one thread, so a grant, an ack, a save and a fence are plain
 * comparisons: whoever is not `owner` now is refused. Called within an operation of the hub.
 */
export class DurableQueue implements Worker {
  readonly bindings = new Set<string>();
  readonly letters = new Map<string, Letter>();
  readonly takers: Taker[] = [];
  readonly standbys: Claimant[] = [];
  owner: Claimant | undefined;
  epoch = 0;
  checkpoint: Uint8Array | undefined;

  readonly #ports: QueuePorts;
  readonly #ready = new ReadyList<Entry>();
  readonly #brim: Brim | undefined;
  readonly #expiry: IdleExpiry | undefined;
  isCalled = false;
  #isGone = false;
  #ownerHasBound = false;
  #nextPosition = 1;
  #awaitedBatch = -1;
  #unsettled = 0;
  #nextTaker = 0;

  constructor(
    readonly id: string,
    readonly spec: QueueSpec,
    ports: QueuePorts,
  ) {
    this.#ports = ports;
    this.#brim = spec.limit && new Brim(spec.limit.messages);
    const { clock, expired } = ports;
    if (spec.expiresMs !== undefined) this.#expiry = new IdleExpiry(clock, spec.expiresMs, expired);
    this.#lookIdle();
  }

  get depth(): number {
    return this.#ready.size + this.#unsettled;
  }

  get isFull(): boolean {
    const limit = this.spec.limit;
    return limit?.onFull === 'reject-publish' && this.#ready.size >= limit.messages;
  }

  get isInUse(): boolean {
    return this.takers.length > 0 || this.owner !== undefined || this.standbys.length > 0;
  }

  /** Takes a message at the tail. It is handed on once it is safe. */
  append(envelope: Envelope, redrives = 0): void {
    const { journal, operations } = this.#ports;
    const limit = this.spec.limit;
    // More than the limit wait where some were given back.
    if (limit?.onFull === 'drop-oldest')
      while (this.#ready.size >= limit.messages) journal.removeEntry(this, this.#ready.take()!);
    const entry: Entry = {
      position: this.#nextPosition++,
      envelope,
      redrives,
      attempts: 0,
      redelivered: redrives > 0,
      begun: false,
      batch: journal.batch,
      place: -1,
    };
    this.#ready.append(entry);
    journal.addEntry(this, entry);
    if (entry.batch <= journal.safeBatch) operations.callLater(this);
    else this.#workAfter(entry.batch);
  }

  #workAfter(batch: number): void {
    if (this.#awaitedBatch === batch) return;
    this.#awaitedBatch = batch;
    const { journal, operations } = this.#ports;
    journal.afterFlush(() => {
      if (!this.#isGone) operations.run(() => operations.callLater(this));
    });
  }

  /** Becomes what the journal has kept. */
  restore(kept: KeptQueue): void {
    this.epoch = kept.epoch;
    this.checkpoint = kept.checkpoint;
    for (const pattern of kept.bindings) this.bindings.add(pattern);
    for (const letter of kept.letters) this.letters.set(letter.id, letter);
    // Written out: there may be millions, and a spread costs microseconds.
    for (const { position, envelope, redrives, attempts, redelivered } of kept.entries) {
      const entry = {
        position,
        envelope,
        redrives,
        attempts,
        redelivered,
        begun: false,
        batch: 0,
        place: -1,
      };
      this.#ready.append(entry);
      this.#nextPosition = position + 1;
    }
  }

  work(): boolean {
    if (this.#handOver()) return true;
    // Only what still waits when everybody has taken what they may makes it full.
    if (this.owner && this.#brim?.note(this.#ready.size)) this.owner.full(this.#ready.size);
    return false;
  }

  /** Hands one ready message to a taker with credit, in turn. */
  #handOver(): boolean {
    const next = this.#ready.peek();
    if (!next || next.batch > this.#ports.journal.safeBatch) return false;
    const taker = this.#takerWithCredit();
    if (!taker) return false;
    const entry = this.#ready.take()!;
    this.#unsettled++;
    taker.held.add(entry);
    taker.deliver(entry);
    return true;
  }

  addTaker(taker: Taker): void {
    this.takers.push(taker);
    this.#lookIdle();
    this.#ports.operations.callLater(this);
  }

  /** Gives back what the taker holds. After a crash nobody knows what had begun: then all of it comes flagged. */
  removeTaker(taker: Taker, how: 'closed' | 'crashed'): void {
    const at = this.takers.indexOf(taker);
    if (at < 0) return;
    this.takers.splice(at, 1);
    for (const entry of taker.held) {
      const wasFlagged = entry.redelivered;
      if (entry.begun || how === 'crashed') entry.redelivered = true;
      entry.begun = false;
      if (entry.redelivered !== wasFlagged) this.#ports.journal.markEntry(this, entry);
    }
    this.#ready.giveBack([...taker.held]);
    this.#unsettled -= taker.held.size;
    taker.held.clear();
    this.#lookIdle();
    this.#ports.operations.callLater(this);
  }

  begin(entry: Entry, attempt: number): void {
    entry.attempts = attempt;
    entry.begun = true;
    this.#ports.journal.markEntry(this, entry);
  }

  cutOff(entry: Entry): void {
    entry.attempts--;
    this.#ports.journal.markEntry(this, entry);
  }

  /** The taker holds it no more, and it is gone. */
  settle(taker: Taker, entry: Entry): void {
    taker.held.delete(entry);
    this.#unsettled--;
    this.#ports.journal.removeEntry(this, entry);
    this.#ports.operations.callLater(this);
  }

  bury(entry: Entry, details: LetterDetails): void {
    const { envelope, redrives, position } = entry;
    const name = `${this.spec.name}/${envelope.id}/${redrives}`;
    // Only foreign messages have ids that are not unique.
    const id = this.letters.has(name) ? `${name}/${position}` : name;
    const letter: Letter = { ...details, id, envelope, redrives, at: this.#ports.clock.wall() };
    this.letters.set(id, letter);
    this.#ports.journal.putLetter(this, letter);
  }

  takeLetters(ids: readonly string[] | undefined): Letter[] {
    const taken: Letter[] = [];
    for (const id of ids ?? [...this.letters.keys()]) {
      const letter = this.letters.get(id);
      if (!letter) continue;
      this.letters.delete(id);
      this.#ports.journal.removeLetter(this, letter);
      taken.push(letter);
    }
    return taken;
  }

  claim(claimant: Claimant): void {
    this.standbys.push(claimant);
    this.#lookIdle();
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
    this.#lookIdle();
  }

  /** The owner's binding set is in place: standbys may rely on it. A set that was there before is written already. */
  bound({ isChanged }: { readonly isChanged: boolean }): void {
    if (isChanged) this.#ports.journal.putQueue(this);
    if (this.#ownerHasBound || !this.owner) return;
    this.#ownerHasBound = true;
    const holder = this.#holder(this.owner);
    for (const claimant of this.standbys) claimant.standby(holder);
  }

  save(checkpoint: Uint8Array): void {
    this.checkpoint = Uint8Array.from(checkpoint);
    this.#ports.journal.putCheckpoint(this);
  }

  /** The queue ceases to be. */
  destroy(): void {
    const reason = new QueueDeletedError(`Queue "${this.spec.name}" was deleted; what it held is gone.`);
    const everybody = [...this.takers, ...(this.owner ? [this.owner] : []), ...this.standbys];
    this.#isGone = true;
    this.#lookIdle();
    this.takers.length = 0;
    this.standbys.length = 0;
    this.owner = undefined;
    this.#ports.journal.removeQueue(this);
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
    this.epoch = this.epoch === 0 ? Math.max(1, this.#ports.clock.wall()) : this.epoch + 1;
    this.owner = next;
    this.#ownerHasBound = false;
    this.#ports.journal.putQueue(this);
    next.granted(this.epoch);
    this.#brim?.forget();
    this.#ports.operations.callLater(this);
  }

  #takerWithCredit(): Taker | undefined {
    for (let tried = 0; tried < this.takers.length; tried++) {
      const taker = this.takers[this.#nextTaker++ % this.takers.length]!;
      if (taker.hasCredit) return taker;
    }
    return undefined;
  }

  #lookIdle(): void {
    this.#expiry?.look(!this.#isGone && !this.isInUse);
  }
}

/** What a former owner is told. */
export function fencedBy(queue: DurableQueue): FencedError {
  return new FencedError(
    `Queue "${queue.spec.name}" has another owner (epoch ${queue.epoch}): this one's ownership has ended.`,
  );
}
