import type { Claim, ClaimSink } from '../../backend.js';
import type { Environment, Timer } from '../../model/clock.js';
import { FencedError, isRetryable, QueueDeletedError, toError } from '../../model/errors.js';
import type { Connection } from './connection.js';
import type { JetStreamConsumer } from './consumer.js';
import type { Control } from './control.js';
import { consumersOf, decodeLease, holderOf, type Lease } from './lease.js';
import { LeaseHolder } from './lease-holder.js';
import type { Letters } from './letters.js';
import type { Masters } from './masters.js';
import { OwnerIntake } from './owner-intake.js';
import { JetStreamOwnership, type OwnershipPorts } from './ownership.js';
import type { Peers } from './peers.js';
import type { Found } from './records.js';
import { Retiring } from './retiring.js';
import type { SignsOfLife } from './signs-of-life.js';
import { retire, takeOver, type Marks, type Taken, type TakeOverPorts } from './take-over.js';

/** What claims need of their session. */
export interface ClaimPorts extends Omit<TakeOverPorts, 'queue' | 'hasAgain'>, Pick<OwnershipPorts, 'renew'> {
  readonly connection: Connection;
  readonly control: Control;
  readonly masters: Masters;
  readonly peers: Peers;
  readonly mail: Letters;
  readonly signs: SignsOfLife;
  readonly environment: Environment;
  /** At the end of the session its sinks stay silent. */
  readonly isLive: () => boolean;
  readonly consumerOf: (ownership: JetStreamOwnership) => JetStreamConsumer | undefined;
  /** An ownership begins or ends. */
  readonly ownershipsChanged: () => void;
  /** The stream may be gone. */
  readonly suspect: () => void;
  readonly ended: (claim: JetStreamClaim) => void;
}

/** So often in its owner's time a lease is looked at though nobody has said anything. */
const LOOKS = 3;
/** Until a look that failed is made again. */
const AGAIN_MS = 100;

/**
 * A session's standing for the ownership of a queue. It looks at the lease whenever something may have changed: a free one, or one
 * whose owner has gone, is taken.
 */
export class JetStreamClaim implements Claim {
  readonly #ports: ClaimPorts;
  readonly #sink: ClaimSink;
  #queueId: string | undefined;
  #ownership: JetStreamOwnership | undefined;
  #lease: LeaseHolder | undefined;
  #toldEpoch = 0;
  #isOpen = true;
  #looking: Promise<void> | undefined;
  #mustLookAgain = false;
  #watched: { readonly session: string; readonly stop: () => void } | undefined;
  /** The session of an owner that has gone, as far as can be seen from here. */
  #gone: string | undefined;
  #timer: Timer | undefined;
  #retiring: Retiring | undefined;

  constructor(
    readonly queue: string,
    sink: ClaimSink,
    ports: ClaimPorts,
  ) {
    this.#sink = sink;
    this.#ports = ports;
  }

  get ownership(): JetStreamOwnership | undefined {
    return this.#ownership;
  }

  /** Whether it stands behind another's ownership, or waits for one. */
  get isStandby(): boolean {
    return this.#isOpen && !this.#ownership;
  }

  /** Something about the queue may have changed. */
  look(): void {
    if (!this.#isOpen || !this.#ports.isLive()) return;
    if (this.#looking) {
      this.#mustLookAgain = true;
      return;
    }
    this.#looking = this.#lookOnce()
      .catch(() => this.#later(AGAIN_MS))
      .finally(() => {
        this.#looking = undefined;
        if (!this.#mustLookAgain) return;
        this.#mustLookAgain = false;
        this.look();
      });
  }

  /** Letters were put back, or may have been. Resolves when what there is of them is asked for. */
  redriven(): Promise<void> {
    const done = this.#redriving.then(() => this.#redriven());
    this.#redriving = done.catch(() => {});
    return done;
  }

  #redriving: Promise<void> = Promise.resolve();

  async #redriven(): Promise<void> {
    const { intake } = this.#ownership ?? {};
    const lease = this.#lease;
    if (!intake || !lease) return;
    const { names, environment, letters, mail } = this.#ports;
    if (lease.lease.again === undefined) {
      if (!(await mail.hasAgain(this.queue))) return;
      const name = names.consumer(this.queue, environment.randomId());
      await letters.create({ name, subjects: [names.again(this.queue)], start: 1, ackWaitMs: undefined });
      await lease.change({ again: name });
      await letters.keep(name);
      intake.openAgain(name);
    }
    await intake.intake.refresh();
  }

  async withdraw(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#close({ owner: undefined, session: undefined, incarnation: undefined, isBound: false });
  }

  /** The session is going: no clean hand-over, but what is known of calls is kept. */
  async leave(): Promise<void> {
    await this.withdraw();
  }

  /** The session has gone. */
  end(): void {
    if (!this.#isOpen) return;
    this.#stop();
    this.#disown();
  }

  /** The queue is gone. */
  lost(reason: Error): void {
    if (!this.#isOpen) return;
    const isLive = this.#ports.isLive();
    this.#stop();
    this.#disown();
    if (isLive) this.#sink.lost(reason);
  }

  /** Looks whether the lease is still ours: rejects with a FencedError if not. */
  async check(): Promise<void> {
    const ownership = this.#ownership;
    const found = await this.#read();
    if (!found || !ownership) throw new FencedError(`The ownership of queue "${this.queue}" has ended.`);
    if (isOurs(found.lease, ownership)) return;
    this.#fenced();
    throw new FencedError(`Queue "${this.queue}" has another owner.`);
  }

  #stop(): void {
    this.#isOpen = false;
    this.#ports.environment.clock.clearTimeout(this.#timer);
    this.#watched?.stop();
    this.#watched = undefined;
    this.#ports.ended(this);
  }

  /** Whatever the lease is to say goes there when the consumer has ended. */
  async #close(last: Partial<Lease>): Promise<void> {
    this.#stop();
    await this.#looking;
    const [ownership, lease] = [this.#ownership, this.#lease];
    if (!ownership || !lease) return;
    await this.#ports.consumerOf(ownership)?.close();
    try {
      await lease.change(last);
      this.#announce();
    } catch {
      // Somebody else has it already, or the session has gone: it is free, or not ours to free.
    } finally {
      this.#disown();
    }
  }

  #disown(): void {
    const ownership = this.#ownership;
    this.#ownership = undefined;
    this.#lease = undefined;
    this.#retiring?.stop();
    if (!ownership) return;
    ownership.end();
    this.#ports.consumerOf(ownership)?.end();
    this.#ports.ownershipsChanged();
  }

  async #release(ownership: JetStreamOwnership): Promise<void> {
    if (this.#ownership !== ownership || !this.#isOpen) return;
    await this.#close({
      owner: undefined,
      session: undefined,
      incarnation: undefined,
      isBound: false,
      isClean: true,
    });
  }

  async #read(): Promise<{ readonly lease: Lease; readonly at: Found } | undefined> {
    const { records, names } = this.#ports;
    const at = await records.get(names.lease(this.queue));
    if (!this.#isOpen) return undefined;
    const lease = at && decodeLease(at.body);
    if (lease === 'newer') {
      this.lost(
        new QueueDeletedError(`The lease of queue "${this.queue}" was written by a newer signalbox.`),
      );
      return undefined;
    }
    if (!at || !lease || (this.#queueId !== undefined && lease.queueId !== this.#queueId)) {
      this.#forsake();
      this.lost(new QueueDeletedError(`Queue "${this.queue}" was deleted; what it held is gone.`));
      return undefined;
    }
    this.#queueId = lease.queueId;
    return { lease, at };
  }

  async #lookOnce(): Promise<void> {
    const { lapses } = this.#ports.signs;
    const found = await this.#read();
    if (!found || !this.#ports.isLive()) return;
    const { lease, at } = found;
    const ownership = this.#ownership;
    this.#later(this.#ports.ownerTimeoutMs / LOOKS);
    if (ownership) {
      if (isOurs(lease, ownership)) ownership.proven(lapses);
      else this.#fenced();
      return;
    }
    const isGone =
      lease.session === undefined ||
      lease.session === this.#gone ||
      lease.incarnation === this.#ports.incarnation;
    if (isGone) return this.#take(lease, at);
    this.#standBy(lease);
  }

  #standBy(lease: Lease): void {
    const { peers } = this.#ports;
    const session = lease.session!;
    if (this.#watched?.session !== session) {
      this.#watched?.stop();
      const peer = { master: lease.owner!, session, ownerTimeoutMs: lease.ownerTimeoutMs };
      const stop = peers.watch(peer, () => {
        if (this.#gone === session) return;
        this.#gone = session;
        this.look();
      });
      this.#watched = { session, stop };
    }
    if (!lease.isBound || lease.epoch <= this.#toldEpoch) return;
    this.#toldEpoch = lease.epoch;
    this.#sink.standby(holderOf(lease));
  }

  async #take(lease: Lease, at: Found): Promise<void> {
    const { mail, signs } = this.#ports;
    const lapses = signs.lapses;
    let taken: Taken;
    try {
      await signs.prove();
      taken = await takeOver(lease, at, {
        ...this.#ports,
        queue: this.queue,
        hasAgain: () => mail.hasAgain(this.queue),
      });
    } catch (thrown) {
      if (!(thrown instanceof FencedError) && !isRetryable(thrown)) return this.lost(toError(thrown));
      // Somebody was faster, or the stream has no leader for the moment.
      this.#mustLookAgain = thrown instanceof FencedError;
      throw thrown;
    }
    this.#gone = undefined;
    this.#watched?.stop();
    this.#watched = undefined;
    if (!this.#isOpen || !this.#ports.isLive()) return this.#giveUp(taken);
    this.#grant(lease, taken, lapses);
  }

  /** It was withdrawn while it was granted. */
  async #giveUp(taken: Taken): Promise<void> {
    const { records, names } = this.#ports;
    const lease = new LeaseHolder(taken.lease, taken.revision, {
      records,
      subject: names.lease(this.queue),
      current: () => ({}),
      lost: () => {},
    });
    await lease
      .change({ owner: undefined, session: undefined, incarnation: undefined })
      .then(() => this.#announce())
      .catch(() => {});
  }

  #grant(found: Lease, taken: Taken, lapses: number): void {
    const { records, names, connection, environment } = this.#ports;
    const lease: LeaseHolder = new LeaseHolder(taken.lease, taken.revision, {
      records,
      subject: names.lease(this.queue),
      current: () => ({
        begun: ownership.calls.kept(),
        ...(ownership.intake && { settled: ownership.intake.kept() }),
      }),
      lost: () => this.look(),
    });
    const ownership: JetStreamOwnership = new JetStreamOwnership(
      this.queue,
      { found, marks: taken.marks, provenAt: lapses },
      {
        ...this.#ports,
        lease,
        checkpoint: taken.checkpoint,
        check: () => this.check(),
        bound: async () => {
          this.#announce();
          if (taken.lease.ownership === 'shared') await this.#ports.masters.look(this.queue);
        },
        released: () => this.#release(ownership),
      },
    );
    this.#lease = lease;
    this.#ownership = ownership;
    if (taken.marks) this.#keepMarks(taken.marks, lease);
    if (taken.lease.ownership === 'exclusive')
      ownership.intake = new OwnerIntake({
        ...this.#ports,
        connection,
        environment,
        queue: this.queue,
        lease,
      });
    else this.#retiring = new Retiring({ ...this.#ports, lease, changed: () => this.#announce() });
    this.#ports.ownershipsChanged();
    this.#sink.granted(ownership);
  }

  /** The consumers of a queue that is gone hold messages that nobody will ever take. */
  #forsake(): void {
    const { events } = this.#ports;
    for (const name of this.#lease ? consumersOf(this.#lease.lease) : [])
      void events.delete(name).catch(() => {});
  }

  /** A successor that finds no marks needs the consumers of former owners: these go when the marks are there. */
  #keepMarks(marks: Marks, lease: LeaseHolder): void {
    const { delivered, unclean } = marks;
    lease
      .change({ delivered, unclean, formers: [] })
      .then(() => retire(marks, this.#ports))
      // Fenced, or at the end of the session: the next owner does it.
      .catch(() => {});
  }

  #fenced(): void {
    if (!this.#ownership) return;
    this.#disown();
    this.#toldEpoch = 0;
    if (this.#ports.isLive()) this.#sink.fenced(new FencedError(`Queue "${this.queue}" has another owner.`));
    this.look();
  }

  #announce(): void {
    this.#ports.control.announce({ queue: this.queue, what: 'lease' });
  }

  #later(afterMs: number): void {
    const { clock } = this.#ports.environment;
    clock.clearTimeout(this.#timer);
    if (this.#isOpen) this.#timer = clock.setTimeout(() => this.look(), afterMs);
  }
}

function isOurs(lease: Lease, { epoch, queueId }: JetStreamOwnership): boolean {
  return lease.epoch === epoch && lease.queueId === queueId;
}
