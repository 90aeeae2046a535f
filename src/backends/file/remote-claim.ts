import type { Claim, ClaimSink, Delivery, Holder, Ownership } from '../../backend.js';
import { FencedError } from '../../model/errors.js';
import { errorOf } from './error-words.js';
import { readBytes, readNumber, readRecord, readText } from './read-word.js';
import { deliveryName, type RemoteConsumer } from './remote-consumer.js';
import type { Wire } from './remote-session.js';

/** A master's standing for the ownership of a queue, at its end of the socket. */
export class RemoteClaim implements Claim {
  #ownership: RemoteOwnership | undefined;
  #isOpen = true;

  constructor(
    readonly wire: Wire,
    readonly number: number,
    readonly queue: string,
    readonly sink: ClaimSink,
    readonly ended: () => void,
  ) {}

  granted(grant: unknown): void {
    if (!this.#isOpen) return;
    const { epoch, queueId, checkpoint } = readRecord(grant);
    this.#ownership = new RemoteOwnership(
      this,
      readNumber(epoch),
      readText(queueId),
      checkpoint === null ? undefined : Uint8Array.from(readBytes(checkpoint)),
    );
    this.sink.granted(this.#ownership);
  }

  standby(holder: unknown): void {
    if (!this.#isOpen) return;
    const { owner, epoch, queueId } = readRecord(holder);
    const told: Holder = { owner: readText(owner), epoch: readNumber(epoch), queueId: readText(queueId) };
    this.sink.standby(told);
  }

  full(waiting: unknown): void {
    if (this.#isOpen) this.sink.full(readNumber(waiting));
  }

  lost(error: unknown): void {
    if (!this.#isOpen) return;
    this.#finish();
    this.sink.lost(errorOf(error));
  }

  async withdraw(): Promise<void> {
    if (!this.#isOpen) return;
    this.#finish();
    await this.wire.call('withdraw', this.number);
  }

  async release(): Promise<void> {
    await this.withdraw();
  }

  holds(ownership: RemoteOwnership): boolean {
    return this.#isOpen && this.#ownership === ownership && this.wire.isOpen;
  }

  #finish(): void {
    this.#isOpen = false;
    for (const consumer of [...(this.#ownership?.consumers ?? [])]) consumer.finish();
    this.ended();
  }
}

export class RemoteOwnership implements Ownership {
  readonly consumers = new Set<RemoteConsumer>();

  constructor(
    readonly claim: RemoteClaim,
    readonly epoch: number,
    readonly queueId: string,
    readonly checkpoint: Uint8Array | undefined,
  ) {}

  get queue(): string {
    return this.claim.queue;
  }

  /** Whether it has not ended; it may have lapsed. */
  get isHeld(): boolean {
    return this.claim.holds(this);
  }

  valid(): boolean {
    return this.isHeld && this.claim.wire.signs.valid();
  }

  async revalidate(): Promise<void> {
    this.#check();
    await this.claim.wire.askWhetherAlive();
    this.#check();
  }

  async bind(patterns: readonly string[]): Promise<void> {
    this.#check();
    await this.claim.wire.call('bindQueue', this.claim.number, patterns);
  }

  async save(checkpoint: Uint8Array, settled: readonly Delivery[]): Promise<void> {
    this.#check();
    await this.claim.wire.call('save', this.claim.number, checkpoint, settled.map(deliveryName));
  }

  async release(): Promise<void> {
    await this.claim.release();
  }

  #check(): void {
    if (!this.isHeld) throw new FencedError(`The ownership of queue "${this.queue}" has ended.`);
  }
}
