import type { Catalogue } from './catalogue.js';
import type { Definitions, ParametersOf } from './key-checks.js';
import type { Entries, KeysOfPattern, KeysOfTopic, PatternText, TopicText } from './key-lookup.js';
import type { Message } from './message.js';
import type { SchemaInput, SchemaOutput } from './standard-schema.js';
import type { TopicInput } from './topic.js';

/** One pattern, or several of which one must match. */
export type PatternInput = TopicInput | { readonly patterns: readonly TopicInput[] };

/** A catalogue, or none: then every topic is one, and all data is unknown. */
export type MaybeCatalogue = Catalogue | undefined;

/** No key of the catalogue fits this topic. A `string` fits none: its words must be known, or be holes between dots. */
export interface UnknownTopic<Topic> {
  readonly 'no key of the catalogue fits the topic': Topic;
}

/** No topic of the catalogue matches this pattern. A `string` is none: its words must be known, or be holes between dots. */
export interface UnknownPattern<Pattern> {
  readonly 'no topic of the catalogue matches the pattern': Pattern;
}

/** Unknown if the catalogue has the topic. */
export type CheckTopic<C, Topic> =
  C extends Catalogue<infer D> ? Complain<BadTopics<D, Topic>, UnknownTopic<BadTopics<D, Topic>>> : unknown;

/** Unknown if the catalogue has a topic for each of the patterns. */
export type CheckPatterns<C, Pattern> =
  C extends Catalogue<infer D>
    ? Complain<BadPatterns<D, Pattern>, UnknownPattern<BadPatterns<D, Pattern>>>
    : unknown;

/** What may be published on a topic: what the schema takes. Of several topics: what all of their schemas take. */
export type DataOf<C, Topic> =
  C extends Catalogue<infer D>
    ? TakenByAll<D, KeysOfTopic<TopicText<Topic>, Entries<keyof D & string>>>
    : unknown;

/** What the handler of these patterns gets: one of the messages that can match, told apart by `key`. */
export type MessageOf<C, Pattern> =
  C extends Catalogue<infer D> ? MessageOfKey<D, KeysOf<D, Pattern>> : Message;

type KeysOf<D, Pattern> = KeysOfPattern<PatternText<Pattern>, Entries<keyof D & string>>;

/** The patterns of what `subscribe` takes. */
export type PatternsOf<Input> = Input extends { readonly patterns: readonly (infer Pattern)[] }
  ? Pattern
  : Input;

type Complain<Bad, Complaint> = [Bad] extends [never] ? unknown : Complaint;

type BadTopics<D, Topic> = Topic extends unknown
  ? [KeysOfTopic<TopicText<Topic>, Entries<keyof D & string>>] extends [never]
    ? Topic
    : never
  : never;

type BadPatterns<D, Pattern> = Pattern extends unknown
  ? [KeysOf<D, Pattern>] extends [never]
    ? Pattern
    : never
  : never;

type TakenByAll<D, Key> = { [K in Key & keyof D]: (data: InputOf<D[K]>) => void }[Key & keyof D] extends (
  data: infer Data,
) => void
  ? Data
  : never;

type InputOf<Schema> = Schema extends Definitions[string] ? SchemaInput<Schema> : never;
type OutputOf<Schema> = Schema extends Definitions[string] ? SchemaOutput<Schema> : never;

type MessageOfKey<D, Key> = Key extends keyof D & string
  ? Message<OutputOf<D[Key]>, ParametersOf<Key>, Key>
  : never;
