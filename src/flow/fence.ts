import type { Ownership } from '../backend.js';

/**
 * Asked before every dispatch and every word to the broker. While the ownership has lapsed nothing passes: what was
 * settled meanwhile is said once it is valid again, under the same epoch, and never if it has ended.
 */
export class Fence {
  readonly #ownership: Ownership | undefined;
  readonly #passable: () => void;
  #unsaid: (() => void)[] = [];
  #asking = false;

  /** `passable` is called when a lapsed ownership is valid again. Without an ownership everything passes. */
  constructor(ownership: Ownership | undefined, passable: () => void) {
    this.#ownership = ownership;
    this.#passable = passable;
  }

  passes(): boolean {
    if (!this.#ownership || this.#ownership.valid()) return true;
    if (!this.#asking) void this.#ask(this.#ownership);
    return false;
  }

  say(word: () => void): void {
    if (this.passes()) word();
    else this.#unsaid.push(word);
  }

  async #ask(ownership: Ownership): Promise<void> {
    this.#asking = true;
    try {
      await ownership.revalidate();
    } catch {
      // It has ended: whoever claimed the queue is told so.
      return;
    } finally {
      this.#asking = false;
    }
    for (const word of this.#unsaid.splice(0)) this.say(word);
    this.#passable();
  }
}
