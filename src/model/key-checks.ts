import type { Entries, KeysOfPattern, ParameterNames } from './key-lookup.js';
import type { StandardSchema } from './standard-schema.js';

/** What a catalogue is made of: a schema for each key. */
export type Definitions = Readonly<Record<string, StandardSchema>>;

/** Two keys fit one topic. */
export interface FitsTheSameTopicAs<Key> {
  readonly 'fits the same topic as': Key;
}

/** What a key may not be: `a..b`, a wildcard, a parameter named twice. */
export interface BadKey<Problem> {
  readonly 'is no key, because it has': Problem;
}

/** A catalogue whose keys are keys and exclude each other: what is wrong is said where it stands. */
export type WellDefined<D> = { readonly [Key in keyof D]: Verdict<Key & string, keyof D & string> };

type Verdict<Key extends string, All extends string> = [Problem<Key>] extends [never]
  ? [Exclude<KeysOfPattern<Topics<Key>, Entries<All>>, Key>] extends [never]
    ? unknown
    : FitsTheSameTopicAs<Exclude<KeysOfPattern<Topics<Key>, Entries<All>>, Key>>
  : BadKey<Problem<Key>>;

/** The pattern of a key's topics. */
type Topics<Key extends string> = Key extends `${infer Word}.${infer Rest}`
  ? `${TopicWord<Word>}.${Topics<Rest>}`
  : TopicWord<Key>;

type TopicWord<Word extends string> = Word extends `:${string}` ? '*' : Word;

type Problem<Key extends string> = `.${Key}.` extends `${string}..${string}`
  ? 'an empty word'
  : `.${Key}.` extends `${string}.${'*' | '#'}.${string}`
    ? 'a wildcard'
    : `.${Key}.` extends `${string}.:.${string}`
      ? 'a parameter without a name'
      : Twice<Key>;

type Twice<Key extends string, Seen = never> = Key extends `${infer Word}.${infer Rest}`
  ? Word extends Seen
    ? Word
    : Twice<Rest, Seen | (Word extends `:${string}` ? Word : never)>
  : Key extends Seen
    ? Key
    : never;

/** The parameters of a key: strings. */
export type ParametersOf<Key extends string> = Readonly<Record<ParameterNames<Key>, string>>;
