import { systemEnvironment, type Environment } from './clock.js';
import { TopicTrie } from './topic-trie.js';
import { parsePattern, type TopicInput } from './topic.js';

/**
 * A set of pairs (normal form of a pattern, value) that finds the values for a topic. Values are the same when a Set says so.
 * Memory is given back as pairs are removed.
 */
export class TopicIndex<T> {
  readonly #trie: TopicTrie<Held<T>>;
  #size = 0;

  /** Chance decides how words are hashed, and so how fast `match` is, not what it gives. */
  constructor(environment: Pick<Environment, 'random'> = systemEnvironment) {
    this.#trie = new TopicTrie(Math.floor(environment.random() * 2 ** 32) | 1);
  }

  /** How many pairs it holds. */
  get size(): number {
    return this.#size;
  }

  /** How many patterns its pairs have. */
  get patterns(): number {
    return this.#trie.size;
  }

  /** Adds the pair; false if it was there. Throws PatternError. */
  add(pattern: TopicInput, value: T): boolean {
    const parsed = parsePattern(pattern);
    const held = this.#trie.get(parsed);
    if (holds(held, value)) return false;
    if (held instanceof Several) held.set.add(value);
    else if (held !== undefined) this.#trie.set(parsed, new Several<T>(held, value));
    else this.#trie.set(parsed, value === undefined ? new Several<T>(value) : value);
    this.#size += 1;
    return true;
  }

  /** Removes the pair; false if it was not there. Throws PatternError. */
  remove(pattern: TopicInput, value: T): boolean {
    const parsed = parsePattern(pattern);
    const held = this.#trie.get(parsed);
    if (!holds(held, value)) return false;
    if (held instanceof Several) held.set.delete(value);
    if (!(held instanceof Several) || held.set.size === 0) this.#trie.delete(parsed);
    this.#size -= 1;
    return true;
  }

  /**
   * The values of all patterns that match, each once, in an array of the caller's own. `topic` must be canonical, as
   * `parseTopic` gives it; this is not checked.
   */
  match(topic: string): T[] {
    return distinct(this.#trie.match(topic));
  }
}

/** The values of one pattern. Most have one, which is held as it is, unless it is undefined. */
type Held<T> = T | Several<T>;

/** Holds a Set and is none: V8 copies a Set fast, but not one of a subclass. */
class Several<T> {
  readonly set: Set<T>;

  constructor(...values: T[]) {
    this.set = new Set(values);
  }
}

function holds<T>(held: Held<T> | undefined, value: T): boolean {
  if (held instanceof Several) return held.set.has(value);
  return held !== undefined && [held as T].includes(value);
}

/** Up to here, looking through a list is faster than making a Set. */
const listMax = 16;

function distinct<T>(found: Held<T>[]): T[] {
  if (found.length === 1 && found[0] instanceof Several) return [...found[0].set];
  if (found.length < 2) return found as T[];
  const values: T[] = [];
  const add = (value: T): void => {
    if (values.length > listMax || !values.includes(value)) values.push(value);
  };
  for (const held of found) {
    if (held instanceof Several) held.set.forEach(add);
    else add(held);
  }
  return values.length > listMax ? [...new Set(values)] : values;
}
