/** So many times its prefetch a consumer may have in hand at most. */
const GROWTH_MAX = 32;

/**
 * How many messages a consumer may have in hand: as its `prefetch` says, and more while all that it has waits in lanes behind
 * others of the same key. So the backlog of one key does not keep the messages of other keys from coming.
 */
export class Credit {
  readonly #prefetch: number;
  readonly #changed: (inHandMax: number) => void;
  #inHandMax: number;

  constructor(prefetch: number, changed: (inHandMax: number) => void) {
    this.#prefetch = prefetch;
    this.#changed = changed;
    this.#inHandMax = prefetch;
  }

  /** Of so many in hand, none may begin though there is room. */
  heldUp(inHand: number): void {
    const most = this.#prefetch * GROWTH_MAX;
    if (inHand >= this.#inHandMax && this.#inHandMax < most) this.#set(Math.min(2 * this.#inHandMax, most));
  }

  /** So many are left in hand. */
  settled(inHand: number): void {
    if (this.#inHandMax > this.#prefetch && 2 * inHand <= this.#prefetch) this.#set(this.#prefetch);
  }

  #set(inHandMax: number): void {
    this.#inHandMax = inHandMax;
    this.#changed(inHandMax);
  }
}
