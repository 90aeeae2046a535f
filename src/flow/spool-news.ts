import type { Clock, Timer } from '../model/clock.js';
import type { Spool } from './spool.js';

/** While the spool changes, it is told of so often. */
const EVERY_MS = 1_000;

export interface SpoolState {
  readonly messages: number;
  readonly bytes: number;
}

/** Tells how full the spool is, never from inside of what has changed it: at once when it fills or is empty again. */
export class SpoolNews {
  readonly #clock: Clock;
  readonly #spool: Spool;
  readonly #emit: (state: SpoolState) => void;
  #holdsAny: boolean;
  #soon = false;
  #ended = false;
  #timer: Timer | undefined;
  #teller: (holdsAny: boolean) => void = () => {};

  constructor(clock: Clock, spool: Spool, emit: (state: SpoolState) => void) {
    this.#clock = clock;
    this.#spool = spool;
    this.#emit = emit;
    this.#holdsAny = false;
    if (spool.messages > 0) this.changed();
  }

  /** Tells from now on whether it holds anything. Returns a function that ends it. */
  tell(teller: (holdsAny: boolean) => void): () => void {
    this.#teller = teller;
    return () => {
      this.#teller = () => {};
      this.#ended = true;
      this.#clock.clearTimeout(this.#timer);
      this.#timer = undefined;
    };
  }

  changed(): void {
    if (this.#ended) return;
    if (this.#spool.messages > 0 === this.#holdsAny) {
      this.#timer ??= this.#clock.setTimeout(() => this.#report(), EVERY_MS);
    } else if (!this.#soon) {
      this.#soon = true;
      queueMicrotask(() => this.#look());
    }
  }

  #look(): void {
    this.#soon = false;
    const holdsAny = this.#spool.messages > 0;
    if (holdsAny === this.#holdsAny) return;
    this.#holdsAny = holdsAny;
    this.#teller(holdsAny);
    this.#report();
  }

  #report(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#ended) this.#emit({ messages: this.#spool.messages, bytes: this.#spool.bytes });
  }
}
