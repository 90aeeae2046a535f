import type { Clock, Timer } from '../model/clock.js';
import { Fifo } from '../model/fifo.js';

/** One way of a connection: every word takes its time, and none passes another. Without a delay it is said at once. */
export class Wire {
  readonly #clock: Clock;
  readonly #delayMs: () => number;
  readonly #words = new Fifo<{ readonly dueAt: number; readonly say: () => void }>();
  #latest = 0;
  #timer: Timer | undefined;
  #isHeld = false;
  #isCut = false;

  /** `delayMs` is asked for each word. */
  constructor(clock: Clock, delayMs: () => number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  /** Words that are under way. */
  get size(): number {
    return this.#words.size;
  }

  say(word: () => void): void {
    if (this.#isCut) return;
    const delayMs = this.#delayMs();
    if (delayMs <= 0 && !this.#isHeld && this.#words.size === 0) return word();
    this.#latest = Math.max(this.#latest, this.#clock.now() + delayMs);
    this.#words.push({ dueAt: this.#latest, say: word });
    this.#awaitNext();
  }

  /** From now on nothing arrives; what is under way waits. */
  hold(): void {
    this.#isHeld = true;
    this.#forgetTimer();
  }

  release(): void {
    this.#isHeld = false;
    this.#carry();
  }

  /** What is under way is lost, and whatever is said later. */
  cut(): void {
    this.#isCut = true;
    this.#words.clear();
    this.#forgetTimer();
  }

  #carry(): void {
    for (let next = this.#words.peek(); next && !this.#isHeld; next = this.#words.peek()) {
      if (next.dueAt > this.#clock.now()) break;
      this.#words.shift();
      next.say();
    }
    this.#awaitNext();
  }

  #awaitNext(): void {
    const next = this.#words.peek();
    if (!next || this.#isHeld || this.#timer) return;
    this.#timer = this.#clock.setTimeout(
      () => {
        this.#timer = undefined;
        this.#carry();
      },
      Math.max(0, next.dueAt - this.#clock.now()),
    );
  }

  #forgetTimer(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
