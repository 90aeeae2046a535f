/** The words of a canonical topic or pattern, hashed where they stand. One object reads one string after the other. */
export class WordReader {
  text = '';
  /** How many words. */
  count = 0;
  /** The hash of all words. */
  hash = 0;
  /** The first `count` are where the words end, and their hashes. */
  readonly ends: number[] = [];
  readonly hashes: number[] = [];

  /** `factor` makes the hashes. Nobody outside shall know it, or words could be chosen that all have the same. */
  constructor(private readonly factor: number) {}

  read(text: string): void {
    const { factor, ends, hashes } = this;
    let count = 0;
    let word = 0;
    let all = 0;
    for (let i = 0; i < text.length; i += 1) {
      const code = text.charCodeAt(i);
      if (code !== 46) {
        word = Math.imul(word + code, factor);
        continue;
      }
      ends[count] = i;
      hashes[count] = word;
      count += 1;
      all = mixHashes(all, word);
      word = 0;
    }
    ends[count] = text.length;
    hashes[count] = word;
    this.count = count + 1;
    this.hash = mixHashes(all, word);
    this.text = text;
  }

  startOf(at: number): number {
    return at === 0 ? 0 : this.ends[at - 1]! + 1;
  }
}

/** As murmur3 ends. Never 0. */
export function mixHashes(a: number, b: number): number {
  let hash = Math.imul(a ^ b, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash === 0 ? 1 : hash;
}

const placesMin = 16;

/**
 * A hash table from words to values, in two flat arrays: what costs time in a large table is memory that is in no cache.
 * A word that is not there costs a look at one number, one that is there costs a look at its cell and its characters. The
 * same word may be there more than once, with different values.
 */
export class WordTable<V> {
  // Open addressing: a word is at the first free place from its hash on. A hash of 0 is a free place.
  #hashes = new Int32Array(placesMin);
  /** A word and its value for each place. */
  #cells = new Array<string | V | undefined>(2 * placesMin);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The first place of the word `text.slice(start, end)`, or the next one behind the place `after`; -1 if there is none. */
  find(hash: number, text: string, start: number, end: number, after = hash - 1): number {
    const hashes = this.#hashes;
    const mask = hashes.length - 1;
    for (let place = (after + 1) & mask; hashes[place] !== 0; place = (place + 1) & mask) {
      if (hashes[place] === hash && isAt(this.#cells[2 * place] as string, text, start, end)) return place;
    }
    return -1;
  }

  /** The value at a place; undefined at -1. */
  at(place: number): V | undefined {
    return place < 0 ? undefined : (this.#cells[2 * place + 1] as V);
  }

  replace(place: number, value: V): void {
    this.#cells[2 * place + 1] = value;
  }

  /** `hash` is not 0. */
  add(hash: number, word: string, value: V): void {
    this.#size += 1;
    if (this.#size * 3 > this.#hashes.length * 2) this.#resize(this.#hashes.length * 2);
    this.#put(hash, word, value);
  }

  remove(place: number): void {
    const hashes = this.#hashes;
    const mask = hashes.length - 1;
    let free = place;
    // Those behind it move up, or the way to them would end here. None may come to stand before the place of its hash.
    for (let next = (free + 1) & mask; hashes[next] !== 0; next = (next + 1) & mask) {
      const hash = hashes[next]!;
      if (((next - hash) & mask) < ((next - free) & mask)) continue;
      hashes[free] = hash;
      this.#cells.copyWithin(2 * free, 2 * next, 2 * next + 2);
      free = next;
    }
    hashes[free] = 0;
    this.#cells.fill(undefined, 2 * free, 2 * free + 2);
    this.#size -= 1;
    if (this.#size * 8 < hashes.length && hashes.length > placesMin) this.#resize(hashes.length / 2);
  }

  #put(hash: number, word: string, value: V): void {
    const mask = this.#hashes.length - 1;
    let place = hash & mask;
    while (this.#hashes[place] !== 0) place = (place + 1) & mask;
    this.#hashes[place] = hash;
    this.#cells[2 * place] = word;
    this.#cells[2 * place + 1] = value;
  }

  #resize(places: number): void {
    const hashes = this.#hashes;
    const cells = this.#cells;
    this.#hashes = new Int32Array(places);
    this.#cells = new Array<string | V | undefined>(2 * places);
    hashes.forEach((hash, place) => {
      if (hash !== 0) this.#put(hash, cells[2 * place] as string, cells[2 * place + 1] as V);
    });
  }
}

function isAt(word: string, text: string, start: number, end: number): boolean {
  if (word.length !== end - start) return false;
  for (let i = 0; i < word.length; i += 1) {
    if (word.charCodeAt(i) !== text.charCodeAt(start + i)) return false;
  }
  return true;
}
