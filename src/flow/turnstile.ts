/** What passes: at once, or until the promise settles. It must not throw, and its promise must not reject. */
type Step = () => Promise<void> | undefined;

/** Lets steps pass one after the other, in the order in which they came: at once, as long as none has to wait. */
export class Turnstile {
  #line: Step[] = [];
  #isTaken = false;

  /** Whether a step would have to wait. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#line.length;
  }

  pass(step: Step): void {
    if (this.#isTaken) this.#line.push(step);
    else this.#take(step);
  }

  /** Nothing that waits will pass. */
  clear(): void {
    this.#line = [];
  }

  #take(step: Step): void {
    const wait = step();
    if (!wait) return;
    this.#isTaken = true;
    void wait.then(() => {
      this.#isTaken = false;
      while (!this.#isTaken && this.#line.length > 0) this.#take(this.#line.shift()!);
    });
  }
}
