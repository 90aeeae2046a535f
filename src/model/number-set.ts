/**
 * A set of whole numbers, kept as ranges in rising order. Adding at the end and taking away at the beginning take
 * constant time, the rest a binary search and a move of what comes after.
 */
export class NumberSet {
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  // What stands before it was taken away.
  #head = 0;

  /** How many ranges. */
  get size(): number {
    return this.#from.length - this.#head;
  }

  from(index: number): number {
    return this.#from[this.#head + index]!;
  }

  to(index: number): number {
    return this.#to[this.#head + index]!;
  }

  /** False if it was there. */
  add(number: number): boolean {
    const at = this.#find(number);
    const below = at >= this.#head;
    if (below && number <= this.#to[at]!) return false;
    const joinsBelow = below && this.#to[at] === number - 1;
    const joinsAbove = this.#from[at + 1] === number + 1;
    if (joinsBelow && joinsAbove) {
      this.#to[at] = this.#to[at + 1]!;
      this.#delete(at + 1, at + 2);
    } else if (joinsBelow) {
      this.#to[at] = number;
    } else if (joinsAbove) {
      this.#from[at + 1] = number;
    } else {
      this.#insert(at + 1, number, number);
    }
    return true;
  }

  /** Adds a range behind all others; false if there is one at or after its beginning. */
  append(first: number, last: number): boolean {
    if (this.size > 0 && first <= this.to(this.size - 1)) return false;
    this.#from.push(first);
    this.#to.push(last);
    return true;
  }

  /** Takes away all numbers from `first` to `last`. */
  remove(first: number, last: number): void {
    let start = this.#find(first);
    if (start < this.#head || this.#to[start]! < first) start += 1;
    let end = this.#find(last) + 1;
    if (first > last || start >= end) return;
    const keepsBelow = this.#from[start]! < first;
    const to = this.#to[end - 1]!;
    if (keepsBelow) {
      this.#to[start] = first - 1;
      start += 1;
    }
    if (to > last && start === end) {
      this.#insert(start, last + 1, to);
    } else if (to > last) {
      end -= 1;
      this.#from[end] = last + 1;
    }
    if (start < end) this.#delete(start, end);
  }

  /** The last range that begins at or before this number; one before the head if there is none. */
  #find(number: number): number {
    let low = this.#head;
    let high = this.#from.length - 1;
    // Most numbers come in rising order.
    if (high >= low && number >= this.#from[high]!) return high;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (this.#from[middle]! <= number) low = middle + 1;
      else high = middle - 1;
    }
    return high;
  }

  #insert(at: number, from: number, to: number): void {
    if (at === this.#from.length) {
      this.#from.push(from);
      this.#to.push(to);
    } else {
      this.#from.splice(at, 0, from);
      this.#to.splice(at, 0, to);
    }
  }

  #delete(start: number, end: number): void {
    let first = start;
    if (start === this.#head) {
      this.#head = end;
      // Moved only when half of the room is free: constant time for each range.
      if (this.#head * 2 <= this.#from.length) return;
      first = 0;
      this.#head = 0;
    }
    this.#from.splice(first, end - first);
    this.#to.splice(first, end - first);
  }
}
