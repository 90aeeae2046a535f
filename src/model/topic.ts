import { PatternError, TopicError } from './errors.js';

/** The string form, or the words themselves: `'builds.17.started'`, `['builds', '17', 'started']`. */
export type TopicInput = string | readonly string[];

/** A parsed topic, deep-frozen. */
export interface Topic {
  /** The canonical string form, one for each list of words: what goes over the wire. */
  readonly topic: string;
  readonly words: readonly string[];
}

/** A parsed pattern in its normal form, deep-frozen. */
export interface Pattern {
  /** The canonical string form. Brokers match it against a canonical topic by AMQP's plain rules. */
  readonly pattern: string;
  /** `pattern` between its dots: `*` and `#` are wildcards, the ordinary word `*` is `%2A`. */
  readonly segments: readonly string[];
}

const bytesMax = 255;
const wordsMax = 128;
const gapsMax = 2;
const recentMax = 1_000;

/**
 * Parses a topic. The result has one canonical string for each list of words, so that parsing `topic` or `words` again
 * gives the same. In an array each non-empty string is a word, `*` and `#` too; the string form escapes
 * `.`, `*`, `#`, `%` and control characters inside a word as `%XX`, and reads each `%XX` that is UTF-8.
 *
 * Throws TopicError for what is no string or array of strings, an empty word, none at all, more than 255 bytes of string form
 * (as written or canonical), a lone surrogate; in the string form also for a wildcard, a raw control character, and a `%`
 * without two hex digits or that is not UTF-8.
 */
export function parseTopic(input: TopicInput): Topic {
  if (typeof input !== 'string') return freshTopic(input);
  const known = recent.get(input);
  if (known !== undefined) return known;
  const topic = freshTopic(input);
  if (recent.size >= recentMax) recent.clear();
  recent.set(detached(input), topic);
  return topic;
}

// The globals of this file: topics and patterns repeat, and everybody may share what is frozen.
const recent = new Map<string, Topic>();
const recentPatterns = new Map<string, Pattern>();

function freshTopic(input: TopicInput): Topic {
  const segments = parseSegments('Topic', input);
  const topic = segments.join('.');
  const words = topic.includes('%') ? segments.map(decodeURIComponent) : segments;
  return Object.freeze({ topic, words: Object.freeze(words) });
}

/**
 * Parses a pattern, as `parseTopic` does, except that `*` (one word) and `#` (zero or more) are wildcards in both forms;
 * the ordinary word `*` is `%2A` in the string form and cannot be said in an array. Of neighbouring wildcards with a `#`
 * among them the normal form keeps each `*` and puts one `#` behind them.
 *
 * Throws PatternError for the reasons of `parseTopic`, and for more than two `#` in the normal form.
 */
export function parsePattern(input: TopicInput): Pattern {
  if (typeof input !== 'string') return freshPattern(input);
  const known = recentPatterns.get(input);
  if (known !== undefined) return known;
  const pattern = freshPattern(input);
  if (recentPatterns.size >= recentMax) recentPatterns.clear();
  recentPatterns.set(pattern.pattern === input ? pattern.pattern : detached(input), pattern);
  return pattern;
}

function freshPattern(input: TopicInput): Pattern {
  if (typeof input === 'string' && !isTooLong(input) && plain.test(input))
    return plainPattern(detached(input));
  const segments: string[] = [];
  let gaps = 0;
  let open = false;
  for (const segment of [...parseSegments('Pattern', input), undefined]) {
    if (segment === '#') {
      open = true;
      continue;
    }
    if (open && segment !== '*') {
      segments.push('#');
      gaps += 1;
      open = false;
    }
    if (segment !== undefined) segments.push(segment);
  }
  if (gaps > gapsMax) {
    refuse(
      'Pattern',
      input,
      `has ${gaps} "#" in its normal form, and ${gapsMax} is the limit. Use several patterns instead.`,
    );
  }
  return Object.freeze({ pattern: segments.join('.'), segments: Object.freeze(segments) });
}

/** Without wildcards and escapes a pattern is its own normal form. */
function plainPattern(pattern: string): Pattern {
  return Object.freeze({ pattern, segments: Object.freeze(pattern.split('.')) });
}

/** Whether the pattern matches the topic. Throws PatternError or TopicError, as parsing does. */
export function topicMatches(pattern: TopicInput, topic: TopicInput): boolean {
  return covers(parsePattern(pattern).segments, parseTopic(topic).topic.split('.'));
}

/**
 * Whether each topic that matches `narrow` matches `wide`. Exact, except that the limit of 255 bytes is left out of
 * account: with it, a pattern that leaves room for few more words would be covered by more. Throws PatternError.
 */
export function patternCovers(wide: TopicInput, narrow: TopicInput): boolean {
  const { pattern, segments } = parsePattern(narrow);
  // A topic has at least one word.
  return covers(parsePattern(wide).segments, pattern === '#' ? ['*', '#'] : segments);
}

/**
 * Lays `wide` along `narrow`; a topic is the narrow pattern without wildcards. Neighbouring wildcards of `wide` with a `#`
 * among them take any stretch of `narrow` that stands for enough words even where each of its `#` stands for none.
 * Other wildcards never take a `#`. No topic needs a way of its own: where each finds one, one way fits them all.
 */
function covers(wide: readonly string[], narrow: readonly string[], from = 0, start = 0): boolean {
  let at = start;
  for (let i = from; i < wide.length; i += 1) {
    let gap = i;
    while (wide[gap] === '*') gap += 1;
    if (wide[gap] === '#') {
      for (let missing = gap - i; missing > 0; at += 1) {
        if (at === narrow.length) return false;
        if (narrow[at] !== '#') missing -= 1;
      }
      for (; at <= narrow.length; at += 1) if (covers(wide, narrow, gap + 1, at)) return true;
      return false;
    }
    if (at === narrow.length || narrow[at] === '#') return false;
    if (wide[i] !== '*' && wide[i] !== narrow[at]) return false;
    at += 1;
  }
  return at === narrow.length;
}

type Kind = 'Topic' | 'Pattern';

const plain = /^[^.*#%\p{Cc}\p{Cs}]+(?:\.[^.*#%\p{Cc}\p{Cs}]+)*$/u;

/** The canonical words between the dots, and the wildcards of a pattern as they are. */
function parseSegments(kind: Kind, input: TopicInput): string[] {
  let segments: string[];
  if (typeof input === 'string') {
    if (isTooLong(input)) refuse(kind, input, tooLong);
    if (plain.test(input)) return detached(input).split('.');
    if (input === '') refuse(kind, input, 'is empty. Give at least one word.');
    segments = input.split('.').map((segment) => {
      if (segment !== '*' && segment !== '#') return escapeWord(unescapeWord(kind, input, segment));
      if (kind === 'Pattern') return segment;
      return refuse(
        kind,
        input,
        `has the wildcard "${segment}". For the ordinary word write "${escapeWord(segment)}".`,
      );
    });
  } else {
    if (!Array.isArray(input)) {
      refuse(kind, input, 'is neither a string nor an array. Give one of them.');
    }
    if (input.length === 0) refuse(kind, input, 'has no words. Give at least one.');
    if (input.length > wordsMax) refuse(kind, input, tooLong);
    segments = Array.from(input, (word: unknown) => {
      if (typeof word !== 'string') {
        return refuse(kind, input, `has a word that is ${typeof word}. Give strings only.`);
      }
      if (isTooLong(word)) refuse(kind, input, tooLong);
      checkWord(kind, input, word);
      return kind === 'Pattern' && (word === '*' || word === '#') ? word : detached(escapeWord(word));
    });
  }
  if (isTooLong(segments.join('.'))) refuse(kind, input, tooLong);
  return segments;
}

function unescapeWord(kind: Kind, input: TopicInput, segment: string): string {
  const [control] = /\p{Cc}/u.exec(segment) ?? [];
  if (control !== undefined) {
    const escaped = escapeWord(control);
    refuse(kind, input, `has a raw control character. Write "${escaped}", or give an array of words.`);
  }
  if (/%(?![0-9A-Fa-f]{2})/.test(segment)) {
    refuse(
      kind,
      input,
      'has a "%" without two hex digits. Write "%25" for the character, or give an array of words.',
    );
  }
  checkWord(kind, input, segment);
  try {
    return decodeURIComponent(segment);
  } catch {
    return refuse(
      kind,
      input,
      `has "%" escapes that are not UTF-8. Escape each byte of a character's UTF-8.`,
    );
  }
}

function checkWord(kind: Kind, input: TopicInput, word: string): void {
  if (word === '') refuse(kind, input, 'has an empty word. Remove it, or name it.');
  if (/\p{Cs}/u.test(word)) {
    refuse(kind, input, 'has a lone surrogate, which no UTF-8 can say. Replace it, as toWellFormed() does.');
  }
}

function escapeWord(word: string): string {
  return word.replace(/[.*#%\p{Cc}]/gu, (character) => {
    const escaped = encodeURIComponent(character);
    return escaped === character ? `%${character.charCodeAt(0).toString(16).toUpperCase()}` : escaped;
  });
}

const tooLong = `has more than ${bytesMax} bytes in its string form. Use fewer or shorter words.`;

function isTooLong(text: string): boolean {
  if (text.length * 3 <= bytesMax) return false;
  return text.length > bytesMax || Buffer.byteLength(text) > bytesMax;
}

function refuse(kind: Kind, input: unknown, problem: string): never {
  const words: readonly unknown[] = Array.isArray(input) ? input.slice(0, 8) : [input];
  const shown = words.map((word) => (typeof word === 'string' ? shorten(word) : typeof word)).join(', ');
  const text = `${kind} ${Array.isArray(input) ? `[${shown}]` : shown} ${problem}`;
  throw kind === 'Topic' ? new TopicError(text) : new PatternError(text);
}

function shorten(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** A copy that does not keep a large text alive of which V8 made `text` a slice. */
function detached(text: string): string {
  return ` ${text}`.slice(1);
}
