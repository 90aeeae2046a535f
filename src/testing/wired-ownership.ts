import type { Delivery, Ownership } from '../backend.js';
import { FencedError, SessionLostError } from '../model/errors.js';
import type { Exchange } from './exchange.js';
import { WiredDelivery } from './wired-delivery.js';

/** An ownership at this end of the wire. */
export class WiredOwnership implements Ownership {
  readonly queue: string;
  readonly queueId: string;
  readonly epoch: number;
  readonly checkpoint: Uint8Array | undefined;
  readonly #exchange: Exchange;
  readonly #isFrozen: () => boolean;
  #isReleased = false;

  constructor(
    readonly real: Ownership,
    exchange: Exchange,
    isFrozen: () => boolean,
  ) {
    const { queue, queueId, epoch, checkpoint } = real;
    this.queue = queue;
    this.queueId = queueId;
    this.epoch = epoch;
    this.checkpoint = checkpoint;
    this.#exchange = exchange;
    this.#isFrozen = isFrozen;
  }

  /** Of a frozen master it has lapsed: nothing is called or settled before the broker has answered it again. */
  valid(): boolean {
    return !this.#exchange.hasEnded && !this.#isReleased && !this.#isFrozen() && this.real.valid();
  }

  /** With the session every ownership has ended. */
  revalidate(): Promise<void> {
    return this.#exchange
      .call(() => this.real.revalidate())
      .catch((error: unknown) =>
        Promise.reject(
          error instanceof SessionLostError
            ? new FencedError(`The session ended, and the ownership of queue "${this.queue}" with it.`)
            : error,
        ),
      );
  }

  bind(patterns: readonly string[]): Promise<void> {
    return this.#exchange.call(() => this.real.bind(patterns));
  }

  save(checkpoint: Uint8Array, settled: readonly Delivery[]): Promise<void> {
    const real = settled.map((delivery) => (delivery instanceof WiredDelivery ? delivery.real : delivery));
    return this.#exchange.call(() => this.real.save(checkpoint, real));
  }

  release(): Promise<void> {
    this.#isReleased = true;
    return this.#exchange.callIfOpen(() => this.real.release());
  }
}
