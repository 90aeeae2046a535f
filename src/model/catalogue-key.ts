import { CatalogueError, toError } from './errors.js';
import { parseTopic } from './topic.js';

/** A key of a catalogue: dotted words as in a topic, of which `:name` is a parameter and stands for any one word. */
export interface CatalogueKey {
  readonly key: string;
  /** The words as a canonical topic has them; undefined for a parameter. */
  readonly words: readonly (string | undefined)[];
  /** Where the parameters stand in the topic, by name. */
  readonly parameters: ReadonlyMap<string, number>;
}

const NAME = /^[A-Za-z_][\w-]*$/;

/** Throws CatalogueError for what is no key. */
export function parseKey(key: string): CatalogueKey {
  const parameters = new Map<string, number>();
  const words = key.split('.').map((word, at) => {
    if (!word.startsWith(':')) return word;
    const name = word.slice(1);
    if (!NAME.test(name) || name === '__proto__')
      refuse(key, `has the parameter "${word}". A name is a letter and then letters, digits, "_" or "-".`);
    if (parameters.has(name)) refuse(key, `names "${word}" twice. Give each parameter a name of its own.`);
    parameters.set(name, at);
    return undefined;
  });
  return { key, words: canonical(key, words), parameters };
}

/** Whether some topic fits both keys. */
export function overlaps(one: CatalogueKey, other: CatalogueKey): boolean {
  return (
    one.words.length === other.words.length &&
    one.words.every((word, at) => word === undefined || (other.words[at] ?? word) === word)
  );
}

/** Whether some topic fits the key and matches the pattern, given by its segments. */
export function canMatch(pattern: readonly string[], { words }: CatalogueKey): boolean {
  const from = (segment: number, at: number): boolean => {
    const wanted = pattern[segment];
    if (wanted === undefined) return at === words.length;
    if (wanted === '#') return from(segment + 1, at) || (at < words.length && from(segment, at + 1));
    if (at === words.length) return false;
    return (wanted === '*' || (words[at] ?? wanted) === wanted) && from(segment + 1, at + 1);
  };
  return from(0, 0);
}

/** One form for each word, so that the types and the wire agree on it. */
function canonical(key: string, words: readonly (string | undefined)[]): readonly (string | undefined)[] {
  // A word that begins with a colon and is no parameter is written %3A, which a topic need not escape.
  const plain = words.map((word) => word?.replace(/^%3A/, ':') ?? 'parameter');
  let topic: string;
  try {
    ({ topic } = parseTopic(plain.join('.')));
  } catch (error) {
    refuse(key, `is none: ${toError(error).message}`, error);
  }
  if (topic !== plain.join('.'))
    refuse(key, `is not in its canonical form. Escape as "${topic}" does, or not at all.`);
  return words.map((word, at) => word && plain[at]);
}

function refuse(key: string, problem: string, cause?: unknown): never {
  throw new CatalogueError(`Key ${JSON.stringify(key.slice(0, 300))} ${problem}`, { cause });
}
