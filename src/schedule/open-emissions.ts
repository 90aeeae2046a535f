import type { OpenNumbers } from '../model/message.js';

/** For so long after a take-over a copy that the former owner has sent may still be under way. */
interface Lingering {
  readonly from: number;
  /** Unix time in milliseconds. */
  readonly until: number;
}

/**
 * The numbers of a scheduler's emissions: which were given, and for which a copy may still come. Whoever takes over sends
 * again what the last save holds, so a number closes when a save without it is proven; and what an owner that is gone may have
 * sent stays open until its connection must be dead as well.
 */
export class OpenEmissions {
  #last = 0;
  #closedTo = 0;
  #lingering: Lingering | undefined;

  /** The number that was given last; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  opened(count: number): void {
    this.#last += count;
  }

  /** No save that a successor may find holds an emission up to this number. */
  closed(upTo: number): void {
    this.#closedTo = Math.max(this.#closedTo, upTo);
  }

  /** The former owner may have sent all that is open. */
  takenOver(now: number, lingerMs: number): void {
    const from = this.#lowest(now);
    if (from <= this.#last) this.#lingering = { from, until: now + lingerMs };
  }

  ranges(now: number): OpenNumbers {
    return [[this.#lowest(now), Infinity]];
  }

  toPlain(): object {
    return { last: this.#last, closedTo: this.#closedTo, lingering: this.#lingering };
  }

  restore(plain: ReturnType<OpenEmissions['toPlain']>): void {
    const { last, closedTo, lingering } = plain as {
      last: number;
      closedTo: number;
      lingering: Lingering | undefined;
    };
    this.#last = last;
    this.#closedTo = closedTo;
    this.#lingering = lingering;
  }

  #lowest(now: number): number {
    const open = this.#closedTo + 1;
    return this.#lingering && now < this.#lingering.until ? Math.min(this.#lingering.from, open) : open;
  }
}
