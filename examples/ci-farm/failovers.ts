import type { HandledRecord } from '../../src/testing/ledger.js';

export interface Failover {
  /** Why the former owner's ownership ended. */
  readonly cause: string;
  /** From the beginning of that to the end of the first handling by its successor. */
  readonly ms: number;
  readonly from: string;
  readonly to: string;
}

/**
 * Measures each change of the owner of one exclusive queue: from the moment in which the cause begins (of an announced
 * one: just before the owner is told to stop) until a handler of the successor has handled its first message. Time in
 * which nothing was there to be handled counts as well.
 */
export class Failovers {
  readonly all: Failover[] = [];
  readonly #queue: string;
  readonly #now: () => number;
  #last: { readonly epoch: number; readonly master: string; at: number } | undefined;
  #announced: { readonly cause: string; readonly master: string; readonly at: number } | undefined;

  constructor(queue: string, now: () => number) {
    this.#queue = queue;
    this.#now = now;
  }

  /** The ownership of this master is about to end. */
  begins(cause: string, master: string): void {
    this.#announced = { cause, master, at: this.#now() };
  }

  /** Returns the failover that ends with this handling, if one does. */
  handled({ queue, epoch, master }: HandledRecord): Failover | undefined {
    if (queue !== this.#queue || epoch === undefined) return undefined;
    const last = this.#last;
    // What a former owner finishes late changes nothing.
    if (last && epoch < last.epoch) return undefined;
    const at = this.#now();
    this.#last = { epoch, master, at };
    const announced = this.#announced;
    // The owner of whom it was announced may not have handled anything.
    const began =
      announced && announced.master !== master ? announced : last && { cause: 'unexpected', ...last };
    if (!began || last?.epoch === epoch) return undefined;
    this.#announced = undefined;
    const failover = {
      cause: began.cause,
      ms: Math.round((at - began.at) * 10) / 10,
      from: began.master,
      to: master,
    };
    this.all.push(failover);
    return failover;
  }
}
