import { canMatch, overlaps, parseKey, type CatalogueKey } from './catalogue-key.js';
import { CatalogueError, InvalidDataError, UnknownTopicError, toError, type DataIssue } from './errors.js';
import type { Definitions, WellDefined } from './key-checks.js';
import { freezePlain, isPartOf } from './part-of.js';
import type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.js';
import { TopicIndex } from './topic-index.js';
import { parsePattern, type Topic, type TopicInput } from './topic.js';

/** What a catalogue says of a message: the key that fits its topic, and the data as a handler gets it. */
export interface Reading {
  readonly key: string | undefined;
  readonly params: Readonly<Record<string, string>>;
  readonly data: unknown;
  /** The data is what was given to be read: the schema has changed nothing in it. */
  readonly isAsGiven: boolean;
}

const UNCHECKED: StandardSchema = Object.freeze({
  '~standard': Object.freeze({ version: 1, vendor: 'signalbox', validate: (value: unknown) => ({ value }) }),
});

/** A schema for the compiler alone: nothing is checked at run time. */
export function type<T>(): StandardSchema<T> {
  return UNCHECKED as StandardSchema<T>;
}

/**
 * Makes a catalogue: which topics there are, and what data each of them carries. A key is a topic in which `:name` stands
 * for any one word. Throws CatalogueError for a bad key, for two keys that fit one topic, and for what is no Standard Schema.
 */
export function defineMessages<const D extends Definitions>(definitions: D & WellDefined<D>): Catalogue<D> {
  return new Catalogue<D>(definitions);
}

interface Entry extends CatalogueKey {
  /** Undefined where nothing is to be checked. */
  readonly schema: StandardSchema | undefined;
}

/** The messages of a program: made by `defineMessages`, given to `createMaster`. */
export class Catalogue<D extends Definitions = Definitions> {
  readonly definitions: D;
  readonly #entries: readonly Entry[];
  readonly #index = new TopicIndex<Entry>();

  constructor(definitions: D) {
    if (typeof definitions !== 'object' || definitions === null)
      throw new CatalogueError('defineMessages takes an object: a schema for each key.');
    this.definitions = Object.freeze({ ...definitions });
    this.#entries = Object.entries(this.definitions).map(([key, schema]) => ({
      ...parseKey(key),
      schema: checkSchema(key, schema),
    }));
    refuseOverlaps(this.#entries);
    for (const entry of this.#entries) this.#index.add(patternOf(entry), entry);
  }

  /** Throws UnknownTopicError for a pattern that no topic of any key matches. */
  checkPattern(input: TopicInput): void {
    const { pattern, segments } = parsePattern(input);
    if (!this.#entries.some((entry) => canMatch(segments, entry)))
      throw new UnknownTopicError(
        `No topic of the catalogue matches the pattern "${pattern}". Add a key, or use master.untyped.`,
      );
  }

  /**
   * Reads data under a topic. Throws UnknownTopicError if no key fits it, and InvalidDataError, or rejects with it where the
   * schema answers later.
   */
  read({ topic, words }: Topic, data: unknown): Reading | Promise<Reading> {
    const [entry] = this.#index.match(topic);
    if (!entry)
      throw new UnknownTopicError(
        `No key of the catalogue fits the topic "${topic}". Add one, or use master.untyped.`,
      );
    const { schema } = entry;
    const asGiven = { key: entry.key, params: parametersOf(entry, words), data, isAsGiven: true };
    if (!schema) return asGiven;
    const judge = (result: SchemaResult<unknown>): Reading => {
      if (result.issues) throw invalid(topic, entry.key, result.issues);
      if (isPartOf(result.value, data)) return asGiven;
      return { ...asGiven, data: freezePlain(result.value), isAsGiven: false };
    };
    const broken = (thrown: unknown): never => {
      throw thrown instanceof InvalidDataError ? thrown : failed(topic, entry.key, thrown);
    };
    try {
      const result = schema['~standard'].validate(data);
      return 'then' in result ? Promise.resolve(result).then(judge).catch(broken) : judge(result);
    } catch (thrown) {
      return broken(thrown);
    }
  }
}

/** What the topics of a key match. */
function patternOf({ words }: CatalogueKey): string {
  return words.map((word) => word ?? '*').join('.');
}

const NO_PARAMETERS = Object.freeze({});

function parametersOf({ parameters }: Entry, words: readonly string[]): Readonly<Record<string, string>> {
  if (parameters.size === 0) return NO_PARAMETERS;
  const values: Record<string, string> = {};
  for (const [name, at] of parameters) values[name] = words[at]!;
  return Object.freeze(values);
}

function checkSchema(key: string, schema: unknown): StandardSchema | undefined {
  if (schema === UNCHECKED) return undefined;
  const isHolder = (typeof schema === 'object' && schema !== null) || typeof schema === 'function';
  const standard = isHolder ? (schema as Partial<StandardSchema>)['~standard'] : undefined;
  if (standard?.version === 1 && typeof standard.validate === 'function') return schema as StandardSchema;
  throw new CatalogueError(
    `What stands under key "${key}" is no Standard Schema. Give one of Zod, Valibot or the like, or type<T>().`,
  );
}

function refuseOverlaps(entries: readonly Entry[]): void {
  for (const [at, entry] of entries.entries()) {
    const twin = entries.slice(0, at).find((earlier) => overlaps(earlier, entry));
    if (!twin) continue;
    throw new CatalogueError(
      `Keys "${twin.key}" and "${entry.key}" fit one topic. Tell them apart by a word that is no parameter.`,
    );
  }
}

const ISSUES_MAX = 100;
const ISSUES_TOLD = 3;

function invalid(topic: string, key: string, found: readonly SchemaIssue[]): InvalidDataError {
  const issues: DataIssue[] = found.slice(0, ISSUES_MAX).map(({ message, path }) => ({
    message,
    path: (path ?? []).map((step) => (typeof step === 'object' ? step.key : step)),
  }));
  const told = issues.slice(0, ISSUES_TOLD).map(({ message, path }) => {
    const place = path.map(String).join('.');
    return (place === '' ? message : `${place}: ${message}`).slice(0, 200);
  });
  const more = found.length > told.length ? `; and ${found.length - told.length} more` : '';
  return new InvalidDataError(`${refusal(topic, key)}: ${told.join('; ')}${more}`, { topic, key, issues });
}

function failed(topic: string, key: string, cause: unknown): InvalidDataError {
  const text = `${refusal(topic, key)}, which threw: ${toError(cause).message}`;
  return new InvalidDataError(text, { topic, key, cause });
}

function refusal(topic: string, key: string): string {
  return `The data on "${topic}" was refused by the schema of key "${key}"`;
}
