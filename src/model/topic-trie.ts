import type { Pattern } from './topic.js';

/** One step of a pattern. Its children by `*` and `#` hang on it; those by a word are found in the trie's hash table. */
class Node<V> {
  star: Node<V> | undefined = undefined;
  gap: Node<V> | undefined = undefined;
  /** How many children it has by a word. */
  words = 0;
  /** Undefined where patterns only pass. */
  value: V | undefined = undefined;
  /** Of a gap: the last match that came here. */
  visit = 0;

  constructor(
    readonly parent: Node<V> | undefined,
    readonly segment: string,
    /** Made from the parent's hash and the segment's; never 0. */
    readonly hash: number,
  ) {}
}

const placesMin = 16;

/**
 * A map from patterns to values that are not undefined, which finds the values of all patterns that match a topic.
 *
 * It is a trie whose nodes stand in one flat hash table under parent and word. What costs time in a large trie is memory that
 * is in no cache, so a look at a word that is not there shall read one number and no object. For the same reason a topic is not
 * split: its words are hashed and compared where they stand.
 */
export class TopicTrie<V> {
  readonly #root = new Node<V>(undefined, '', 1);
  /** Above the patterns without wildcards: each is one word as a whole. */
  readonly #exact = new Node<V>(undefined, '', 2);
  readonly #factor: number;
  #size = 0;
  #visit = 0;

  // The hash table, with open addressing: the nodes' hashes, 0 where a place is free, and the nodes.
  #hashes = new Int32Array(placesMin);
  #nodes = new Array<Node<V> | undefined>(placesMin);
  #taken = 0;

  // The string at hand. It is kept here, and its lists made once, so that a match allocates nothing.
  #text = '';
  #count = 0;
  #whole = 0;
  readonly #ends: number[] = [];
  readonly #wordHashes: number[] = [];

  /** `factor` makes the hashes; nobody outside shall know it, or words could be chosen that have the same. */
  constructor(factor = Math.floor(Math.random() * 2 ** 32) | 1) {
    this.#factor = factor;
  }

  get size(): number {
    return this.#size;
  }

  get(pattern: Pattern): V | undefined {
    return this.#find(pattern)?.value;
  }

  set(pattern: Pattern, value: V): void {
    this.#read(pattern.pattern);
    let node = this.#root;
    if (isExact(pattern)) node = this.#lookWhole() ?? this.#grow(this.#exact, pattern.pattern, this.#whole);
    else
      pattern.segments.forEach((segment, at) => {
        node = this.#child(node, segment, at) ?? this.#grow(node, segment, this.#wordHashes[at] as number);
      });
    if (node.value === undefined) this.#size += 1;
    node.value = value;
  }

  delete(pattern: Pattern): void {
    let node = this.#find(pattern);
    if (node?.value === undefined) return;
    node.value = undefined;
    this.#size -= 1;
    while (node.parent !== undefined && isBare(node)) {
      this.#cut(node, node.parent);
      node = node.parent;
    }
  }

  /**
   * Adds to `found` the value of each pattern that matches the canonical topic. The time grows at worst with the words of the
   * topic times the nodes, as no node is visited twice at one word.
   */
  match(topic: string, found: V[]): void {
    this.#read(topic);
    if (this.#exact.words > 0) {
      const value = this.#lookWhole()?.value;
      if (value !== undefined) found.push(value);
    }
    if (this.#root.words === 0 && this.#root.star === undefined && this.#root.gap === undefined) return;
    this.#visit += 1;
    this.#collect(this.#root, 0, found);
  }

  #collect(node: Node<V>, at: number, found: V[]): void {
    if (node.gap !== undefined) this.#collectGap(node.gap, at, found);
    if (at === this.#count) {
      if (node.value !== undefined) found.push(node.value);
      return;
    }
    if (node.words > 0) {
      const next = this.#word(node, at);
      if (next !== undefined) this.#collect(next, at + 1, found);
    }
    if (node.star !== undefined) this.#collect(node.star, at + 1, found);
  }

  #collectGap(gap: Node<V>, from: number, found: V[]): void {
    // One gap behind another is met again and again, each time further on, where it finds nothing new.
    if (gap.visit === this.#visit) return;
    gap.visit = this.#visit;
    if (gap.value !== undefined) found.push(gap.value);
    if (gap.words === 0) return;
    // In the normal form only a word follows a gap.
    for (let at = from; at < this.#count; at += 1) {
      const next = this.#word(gap, at);
      if (next !== undefined) this.#collect(next, at + 1, found);
    }
  }

  #find(pattern: Pattern): Node<V> | undefined {
    this.#read(pattern.pattern);
    if (isExact(pattern)) return this.#lookWhole();
    let node: Node<V> | undefined = this.#root;
    for (const [at, segment] of pattern.segments.entries()) node &&= this.#child(node, segment, at);
    return node;
  }

  #child(node: Node<V>, segment: string, at: number): Node<V> | undefined {
    if (segment === '*') return node.star;
    if (segment === '#') return node.gap;
    return this.#word(node, at);
  }

  #grow(parent: Node<V>, segment: string, hash: number): Node<V> {
    const node = new Node(parent, segment, mix(parent.hash, hash));
    if (segment === '*') return (parent.star = node);
    if (segment === '#') return (parent.gap = node);
    parent.words += 1;
    this.#taken += 1;
    if (this.#taken * 2 > this.#hashes.length) this.#resize(this.#hashes.length * 2);
    this.#place(node);
    return node;
  }

  #cut(node: Node<V>, parent: Node<V>): void {
    if (parent.star === node) parent.star = undefined;
    else if (parent.gap === node) parent.gap = undefined;
    else {
      parent.words -= 1;
      this.#taken -= 1;
      this.#free(node);
      const places = this.#hashes.length;
      if (this.#taken * 8 < places && places > placesMin) this.#resize(places / 2);
    }
  }

  #word(parent: Node<V>, at: number): Node<V> | undefined {
    const start = at === 0 ? 0 : (this.#ends[at - 1] as number) + 1;
    return this.#look(parent, mix(parent.hash, this.#wordHashes[at] as number), start, this.#ends[at] as number);
  }

  #lookWhole(): Node<V> | undefined {
    return this.#look(this.#exact, mix(this.#exact.hash, this.#whole), 0, this.#text.length);
  }

  #look(parent: Node<V>, hash: number, start: number, end: number): Node<V> | undefined {
    const hashes = this.#hashes;
    const mask = hashes.length - 1;
    for (let place = hash & mask; hashes[place] !== 0; place = (place + 1) & mask) {
      if (hashes[place] !== hash) continue;
      const node = this.#nodes[place] as Node<V>;
      if (node.parent === parent && isAt(node.segment, this.#text, start, end)) return node;
    }
    return undefined;
  }

  /** Makes `text` the string at hand: where its words end, and their hashes. */
  #read(text: string): void {
    const ends = this.#ends;
    const wordHashes = this.#wordHashes;
    const factor = this.#factor;
    let count = 0;
    let hash = 0;
    let whole = 0;
    for (let i = 0; i < text.length; i += 1) {
      const code = text.charCodeAt(i);
      if (code !== 46) {
        hash = Math.imul(hash + code, factor);
        continue;
      }
      ends[count] = i;
      wordHashes[count] = hash;
      count += 1;
      whole = mix(whole, hash);
      hash = 0;
    }
    ends[count] = text.length;
    wordHashes[count] = hash;
    this.#count = count + 1;
    this.#whole = mix(whole, hash);
    this.#text = text;
  }

  #place(node: Node<V>): void {
    const mask = this.#hashes.length - 1;
    let place = node.hash & mask;
    while (this.#hashes[place] !== 0) place = (place + 1) & mask;
    this.#hashes[place] = node.hash;
    this.#nodes[place] = node;
  }

  #free(node: Node<V>): void {
    const hashes = this.#hashes;
    const mask = hashes.length - 1;
    let free = node.hash & mask;
    while (this.#nodes[free] !== node) free = (free + 1) & mask;
    // Those behind it move up, or the way to them would end here. None may come to stand before the place of its hash.
    for (let place = (free + 1) & mask; hashes[place] !== 0; place = (place + 1) & mask) {
      const hash = hashes[place] as number;
      if (((place - hash) & mask) < ((place - free) & mask)) continue;
      hashes[free] = hash;
      this.#nodes[free] = this.#nodes[place];
      free = place;
    }
    hashes[free] = 0;
    this.#nodes[free] = undefined;
  }

  #resize(places: number): void {
    const nodes = this.#nodes;
    this.#hashes = new Int32Array(places);
    this.#nodes = new Array<Node<V> | undefined>(places);
    for (const node of nodes) if (node !== undefined) this.#place(node);
  }
}

function isBare<V>(node: Node<V>): boolean {
  return node.value === undefined && node.words === 0 && node.star === undefined && node.gap === undefined;
}

/** As murmur3 ends. */
function mix(a: number, b: number): number {
  let hash = Math.imul(a ^ b, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash === 0 ? 1 : hash;
}

function isExact({ segments }: Pattern): boolean {
  return !segments.includes('*') && !segments.includes('#');
}

function isAt(segment: string, text: string, start: number, end: number): boolean {
  if (segment.length !== end - start) return false;
  for (let i = 0; i < segment.length; i += 1) {
    if (segment.charCodeAt(i) !== text.charCodeAt(start + i)) return false;
  }
  return true;
}
