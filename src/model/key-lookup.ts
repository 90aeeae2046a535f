/**
 * Which keys of a catalogue fit a topic or a pattern, said in types. A key is looked up word by word, as in a trie, and each
 * level of the trie is made once: what a lookup costs grows with the words of the topic, not with the number of keys.
 *
 * A key takes part as an *entry*: what is left of it, two dots, the key (`id.new..changes.:id.new`). No word is empty, so two
 * dots stand nowhere else; an entry of which nothing is left begins with a dot.
 */
export type Entries<Key extends string> = Key extends unknown ? `${Key}..${Key}` : never;

/** The keys that fit a topic, whatever stands in its holes: `${string}` stands for one word, any word. Never: none. */
export type KeysOfTopic<Topic extends string, Entry> = string extends Topic ? never : TopicWalk<Topic, Entry>;

/** The keys of which some topic matches the pattern, for something that may stand in its holes. */
export type KeysOfPattern<Pattern extends string, Entry> = string extends Pattern
  ? never
  : PatternWalk<Pattern, Entry>;

/** The names of a key's parameters. */
export type ParameterNames<Key extends string> = Key extends `${infer Word}.${infer Rest}`
  ? ParameterName<Word> | ParameterNames<Rest>
  : ParameterName<Key>;

type ParameterName<Word extends string> = Word extends `:${infer Name}` ? Name : never;

type TopicWalk<Topic extends string, Entry> = [Entry] extends [never]
  ? never
  : Topic extends `${infer Word}.${infer Rest}`
    ? TopicWalk<Rest, TopicStep<Word, Entry>>
    : Behind<TopicStep<Topic, Entry>, ''>;

type TopicStep<Word extends string, Entry> =
  (Word extends FirstWords<Entry> ? Behind<Entry, Word> : never) | Behind<Entry, `:${string}`>;

type PatternWalk<Pattern extends string, Entry> = [Entry] extends [never]
  ? never
  : Pattern extends '#'
    ? KeysOf<Entry>
    : Pattern extends `#.${infer Rest}`
      ? PatternWalk<Rest, Suffixes<Entry>>
      : Pattern extends `${infer Word}.${infer Rest}`
        ? PatternWalk<Rest, PatternStep<Word, Entry>>
        : Behind<PatternStep<Pattern, Entry>, ''>;

type PatternStep<Word extends string, Entry> = Word extends '*'
  ? Tails<Entry>
  : Word extends FirstWords<Entry>
    ? Behind<Entry, Word> | Behind<Entry, `:${string}`>
    : // A word with a hole makes an index signature, which nothing has to fill.
      // eslint-disable-next-line @typescript-eslint/no-empty-object-type
      {} extends Record<Word, 1>
      ? BehindHole<Entry, Word>
      : Behind<Entry, `:${string}`>;

/** The first words of entries. Made once for all that look into the same entries, as `Behind` is for each word. */
type FirstWords<Entry> = Entry extends `${infer Word}.${string}` ? Word : never;

/**
 * What is left after a word; after '' whole keys, of which nothing was left. An intersection picks the entries out of many
 * without an instantiation for each.
 */
type Behind<Entry, Word extends string> = Cut<Entry & `${Word}.${string}`>;

type Cut<Entry> = Entry extends `${string}.${infer Rest}` ? Rest : never;

/** What is left after any word that may stand in the hole. */
type BehindHole<Entry, Hole extends string> = Entry extends `${infer Word}.${infer Rest}`
  ? Word extends ''
    ? never
    : Word extends Hole | `:${string}`
      ? Rest
      : never
  : never;

/** What is left after one more word, whichever it is. */
type Tails<Entry> = Entry extends `.${string}`
  ? never
  : Entry extends `${string}.${infer Rest}`
    ? Rest
    : never;

/** What is left after any number of words. */
type Suffixes<Entry> = [Entry] extends [never] ? never : Entry | Suffixes<Tails<Entry>>;

type KeysOf<Entry> = Entry extends `.${infer Key}`
  ? Key
  : Entry extends `${string}..${infer Key}`
    ? Key
    : never;

/** The string form of a topic, for its look-up. Never for a list whose words are not known one by one. */
export type TopicText<Input> = Input extends string
  ? Input
  : Input extends readonly string[]
    ? number extends Input['length']
      ? never
      : Joined<Input>
    : never;

/** As `TopicText`; `*` and `#` in a list are wildcards. */
export type PatternText<Input> = Input extends string
  ? Input
  : Input extends readonly string[]
    ? number extends Input['length']
      ? never
      : Joined<Input, '*' | '#'>
    : never;

type Joined<Words extends readonly string[], Wildcard extends string = never> = Words extends readonly [
  infer First extends string,
  ...infer Rest extends readonly string[],
]
  ? Rest extends readonly []
    ? Escaped<First, Wildcard>
    : `${Escaped<First, Wildcard>}.${Joined<Rest, Wildcard>}`
  : never;

interface Escapes {
  '.': '%2E';
  '*': '%2A';
  '#': '%23';
  '%': '%25';
}

/** Control characters are left as they are: no key holds one that a list could say. */
type Escaped<Word extends string, Wildcard extends string> = Word extends Wildcard
  ? Word
  : Word extends `${string}${keyof Escapes}${string}`
    ? EscapedEach<Word>
    : Word;

type EscapedEach<Word extends string> = Word extends `${infer Character}${infer Rest}`
  ? `${Character extends keyof Escapes ? Escapes[Character] : Character}${EscapedEach<Rest>}`
  : Word;
