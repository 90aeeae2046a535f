export interface Failover {
  /** Why the former owner's ownership ended. */
  readonly cause: string;
  /** From the beginning of that until its successor has taken in a message. */
  readonly ms: number;
  readonly from: string;
  readonly to: string;
}

/** One master's time as the owner. */
export interface Ownership {
  readonly master: string;
  readonly epoch: number;
}

/**
 * Measures each change of the owner of one scheduler: from the moment in which the cause begins (of an announced one: just
 * before it happens) until the statechart of the successor has taken in its first message. Time in which nothing was there to
 * be taken in counts as well.
 */
export class Failovers {
  readonly all: Failover[] = [];
  readonly #queue: string;
  readonly #now: () => number;
  #last: (Ownership & { readonly at: number }) | undefined;
  #announced: (Ownership & { readonly cause: string; readonly at: number }) | undefined;

  /** `now` is the clock of whoever notes when something was taken in. */
  constructor(queue: string, now: () => number) {
    this.#queue = queue;
    this.#now = now;
  }

  /** An announced one is not over. */
  get isUnderWay(): boolean {
    return this.#announced !== undefined;
  }

  /** This ownership is about to end. The same master may own the queue afterwards, in a higher epoch. */
  begins(cause: string, { master, epoch }: Ownership): void {
    this.#announced = { cause, master, epoch, at: this.#now() };
  }

  /** Returns the failover that ends with this transition, if one does. */
  applied(
    { queue, epoch, master }: Ownership & { readonly queue: string },
    at: number,
  ): Failover | undefined {
    if (queue !== this.#queue) return undefined;
    const last = this.#last;
    // What a former owner still does changes nothing.
    if (last && epoch < last.epoch) return undefined;
    this.#last = { epoch, master, at };
    const announced = this.#announced && this.#announced.epoch < epoch ? this.#announced : undefined;
    // The owner of whom it was announced may not have taken in anything.
    const began = announced ?? (last && { cause: 'unexpected', ...last });
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
