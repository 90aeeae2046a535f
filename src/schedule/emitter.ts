import type { Ownership, Session } from '../backend.js';
import type { Fence } from '../flow/fence.js';
import { delayMs } from '../model/backoff.js';
import { FencedError, SessionLostError, isRetryable, toError } from '../model/errors.js';
import type { OpenNumbers } from '../model/message.js';
import { envelopeOf, type Emission } from './emission.js';
import type { Pauses } from './pauses.js';

const BACKOFF = { minDelayMs: 100, maxDelayMs: 10_000 };

export interface EmitterPorts {
  readonly session: Pick<Session, 'publish'>;
  readonly ownership: Ownership;
  readonly fence: Fence;
  readonly pauses: Pauses;
  readonly random: () => number;
  readonly source: string;
  readonly open: () => OpenNumbers;
  /** The broker takes it under no circumstances. */
  readonly refused: (emission: Emission, id: string, error: Error) => void;
  readonly hasEnded: () => boolean;
}

/** Publishes what a scheduler has emitted and saved, one batch at a time, until the broker has confirmed it. */
export class Emitter {
  readonly #ports: EmitterPorts;
  /** Up to this number a copy may have been sent before. */
  #sentTo: number;

  constructor(ports: EmitterPorts, sentTo: number) {
    this.#ports = ports;
    this.#sentTo = sentTo;
  }

  /** Resolves with whether all of them are settled: confirmed, or refused for good. If not, the ownership has ended. */
  async publish(emissions: readonly Emission[]): Promise<boolean> {
    const { pauses, random } = this.#ports;
    let left = emissions;
    for (let attempt = 1; left.length > 0; attempt++) {
      if (attempt > 1) await pauses.wait(delayMs({ ...BACKOFF, attempt: attempt - 1 }, random));
      const results = await this.#send(left);
      if (!results) return false;
      this.#sentTo = Math.max(this.#sentTo, left.at(-1)!.number);
      const again: Emission[] = [];
      for (const [at, error] of results.entries()) {
        const emission = left[at]!;
        if (error === undefined) continue;
        // The end of a session or an ownership is told elsewhere.
        if (error instanceof SessionLostError || error instanceof FencedError) return false;
        if (isRetryable(error)) again.push(emission);
        else this.#ports.refused(emission, this.#envelope(emission).id, error);
      }
      left = again;
    }
    return true;
  }

  #send(emissions: readonly Emission[]): Promise<(Error | undefined)[] | undefined> {
    return new Promise((resolve) => {
      this.#ports.fence.say(() => {
        if (this.#ports.hasEnded()) return resolve(undefined);
        resolve(Promise.all(emissions.map((emission) => this.#sendOne(emission))));
      });
    });
  }

  async #sendOne(emission: Emission): Promise<Error | undefined> {
    try {
      const envelope = this.#envelope(emission);
      const refusals = await this.#ports.session.publish(envelope, this.#ports.ownership);
      return refusals?.get(envelope);
    } catch (thrown) {
      return toError(thrown);
    }
  }

  #envelope(emission: Emission) {
    const { open, ownership, source } = this.#ports;
    const from = { producer: ownership.queueId, source, open: open() };
    return envelopeOf(emission, from, emission.number <= this.#sentTo);
  }
}
