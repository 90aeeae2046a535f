import { TopicTrie } from './topic-trie.js';
import { parsePattern, type TopicInput } from './topic.js';

/**
 * A set of pairs (normal form of a pattern, value) that finds the values for a topic. Values are the same when a Set says so.
 * Memory is given back as pairs are removed.
 */
export class TopicIndex<T> {
  readonly #trie = new TopicTrie<Held<T>>();
  #size = 0;

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
    if (held instanceof Several) held.add(value);
    else if (held !== undefined) this.#trie.set(parsed, new Several<T>([held, value]));
    else this.#trie.set(parsed, value === undefined ? new Several<T>([value]) : value);
    this.#size += 1;
    return true;
  }

  /** Removes the pair; false if it was not there. Throws PatternError. */
  remove(pattern: TopicInput, value: T): boolean {
    const parsed = parsePattern(pattern);
    const held = this.#trie.get(parsed);
    if (!holds(held, value)) return false;
    if (held instanceof Several) held.delete(value);
    if (!(held instanceof Several) || held.size === 0) this.#trie.delete(parsed);
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

class Several<T> extends Set<T> {}

function holds<T>(held: Held<T> | undefined, value: T): boolean {
  if (held instanceof Several) return held.has(value);
  return held !== undefined && [held as T].includes(value);
}

/** Up to here, looking through a list is faster than making a Set. */
const listMax = 16;

function distinct<T>(found: Held<T>[]): T[] {
  if (found.length < 2 && !(found[0] instanceof Several)) return found as T[];
  const values: T[] = [];
  const add = (value: T): void => {
    if (values.length > listMax || !values.includes(value)) values.push(value);
  };
  for (const held of found) {
    if (held instanceof Several) held.forEach(add);
    else add(held);
  }
  return found.length > 1 && values.length > listMax ? [...new Set(values)] : values;
}
