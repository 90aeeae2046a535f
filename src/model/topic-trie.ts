import type { Pattern } from './topic.js';
import { mixHashes, WordReader, WordTable } from './word-table.js';

/** One step of a pattern. Its children by `*` and `#` hang on it, those by a word are in the trie's table. */
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
    readonly hash: number,
  ) {}
}

/**
 * A map from patterns to values that are not undefined, which finds the values of all patterns that match a topic. It is a
 * trie, all of whose nodes are in one hash table under word and parent; beside it stand the patterns without wildcards, each
 * as one word.
 */
export class TopicTrie<V> {
  readonly #reader: WordReader;
  readonly #exact = new WordTable<V>();
  readonly #nodes = new WordTable<Node<V>>();
  readonly #root = new Node<V>(undefined, 1);
  #wild = 0;
  #visit = 0;
  /** What the present `match` has found. */
  readonly #found: V[] = [];
  #count = 0;

  /** `factor`: see WordReader. */
  constructor(factor: number) {
    this.#reader = new WordReader(factor);
  }

  get size(): number {
    return this.#exact.size + this.#wild;
  }

  get(pattern: Pattern): V | undefined {
    this.#reader.read(pattern.pattern);
    return isExact(pattern) ? this.#exact.at(this.#exactPlace()) : this.#find(pattern)?.value;
  }

  set(pattern: Pattern, value: V): void {
    this.#reader.read(pattern.pattern);
    if (isExact(pattern)) {
      const place = this.#exactPlace();
      if (place < 0) this.#exact.add(this.#reader.hash, pattern.pattern, value);
      else this.#exact.replace(place, value);
      return;
    }
    let node = this.#root;
    for (const [at, segment] of pattern.segments.entries()) {
      node = this.#child(node, segment, at) ?? this.#grow(node, segment, at);
    }
    if (node.value === undefined) this.#wild += 1;
    node.value = value;
  }

  delete(pattern: Pattern): void {
    this.#reader.read(pattern.pattern);
    if (isExact(pattern)) {
      const place = this.#exactPlace();
      if (place >= 0) this.#exact.remove(place);
      return;
    }
    let node = this.#find(pattern);
    if (node?.value === undefined) return;
    node.value = undefined;
    this.#wild -= 1;
    for (let at = pattern.segments.length - 1; node.parent !== undefined && isBare(node); at -= 1) {
      node = node.parent;
      this.#cut(node, pattern.segments[at]!, at);
    }
  }

  /**
   * The value of each pattern that matches the canonical topic. The time grows at worst with the words of the topic times the
   * nodes, as no node is visited twice at one word.
   */
  match(topic: string): V[] {
    this.#reader.read(topic);
    const exact = this.#exact.at(this.#exactPlace());
    if (this.#wild === 0) return exact === undefined ? [] : [exact];
    this.#count = 0;
    if (exact !== undefined) this.#found[this.#count++] = exact;
    this.#visit += 1;
    this.#collect(this.#root, 0);
    return this.#takeFound();
  }

  /** Most topics match one pattern: the array for that is no longer than it must be. */
  #takeFound(): V[] {
    const found = this.#count === 1 ? [this.#found[0]!] : this.#found.slice(0, this.#count);
    for (let at = 0; at < this.#count; at += 1) this.#found[at] = undefined as V;
    return found;
  }

  #collect(node: Node<V>, at: number): void {
    if (node.gap !== undefined) this.#collectGap(node.gap, at);
    if (at === this.#reader.count) {
      if (node.value !== undefined) this.#found[this.#count++] = node.value;
      return;
    }
    if (node.words > 0) {
      const next = this.#nodes.at(this.#place(node, at));
      if (next !== undefined) this.#collect(next, at + 1);
    }
    if (node.star !== undefined) this.#collect(node.star, at + 1);
  }

  #collectGap(gap: Node<V>, from: number): void {
    // One gap behind another is met again and again, each time further on, where it finds nothing new.
    if (gap.visit === this.#visit) return;
    gap.visit = this.#visit;
    if (gap.value !== undefined) this.#found[this.#count++] = gap.value;
    if (gap.words === 0) return;
    // In the normal form only a word follows a gap.
    for (let at = from; at < this.#reader.count; at += 1) {
      const next = this.#nodes.at(this.#place(gap, at));
      if (next !== undefined) this.#collect(next, at + 1);
    }
  }

  #find(pattern: Pattern): Node<V> | undefined {
    let node: Node<V> | undefined = this.#root;
    for (const [at, segment] of pattern.segments.entries()) node &&= this.#child(node, segment, at);
    return node;
  }

  #child(node: Node<V>, segment: string, at: number): Node<V> | undefined {
    if (segment === '*') return node.star;
    if (segment === '#') return node.gap;
    return this.#nodes.at(this.#place(node, at));
  }

  #grow(parent: Node<V>, segment: string, at: number): Node<V> {
    const node = new Node(parent, mixHashes(parent.hash, this.#reader.hashes[at]!));
    if (segment === '*') return (parent.star = node);
    if (segment === '#') return (parent.gap = node);
    parent.words += 1;
    this.#nodes.add(node.hash, segment, node);
    return node;
  }

  #cut(parent: Node<V>, segment: string, at: number): void {
    if (segment === '*') parent.star = undefined;
    else if (segment === '#') parent.gap = undefined;
    else {
      parent.words -= 1;
      this.#nodes.remove(this.#place(parent, at));
    }
  }

  /** The place of the child by the word at `at` of the string that was read. */
  #place(parent: Node<V>, at: number): number {
    const { text, ends, hashes } = this.#reader;
    const hash = mixHashes(parent.hash, hashes[at]!);
    const start = this.#reader.startOf(at);
    const end = ends[at]!;
    let place = this.#nodes.find(hash, text, start, end);
    while (place >= 0 && this.#nodes.at(place)?.parent !== parent)
      place = this.#nodes.find(hash, text, start, end, place);
    return place;
  }

  #exactPlace(): number {
    const { text, hash } = this.#reader;
    return this.#exact.find(hash, text, 0, text.length);
  }
}

function isExact({ segments }: Pattern): boolean {
  return !segments.includes('*') && !segments.includes('#');
}

function isBare<V>(node: Node<V>): boolean {
  return node.value === undefined && node.words === 0 && node.star === undefined && node.gap === undefined;
}
