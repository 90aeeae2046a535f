import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { PatternError, TopicError } from '../../src/model/errors.js';
import {
  parsePattern,
  parseTopic,
  patternCovers,
  topicMatches,
  type TopicInput,
} from '../../src/model/topic.js';

// Much is drawn and counted here, and the machine may have other work.
vi.setConfig({ testTimeout: 60_000 });

/** The rules as AMQP words them, on lists: a wildcard is an object, so that the words '*' and '#' are words. */
const one = { wildcard: '*' };
const some = { wildcard: '#' };
type Token = string | typeof one;

function matches(pattern: readonly Token[], topic: readonly string[]): boolean {
  const [token, ...rest] = pattern;
  if (token === undefined) return topic.length === 0;
  if (token === some) return matches(rest, topic) || (topic.length > 0 && matches(pattern, topic.slice(1)));
  return topic.length > 0 && (token === one || token === topic[0]) && matches(rest, topic.slice(1));
}

/** All lists of 1 to `max` items. */
function lists<T>(items: readonly T[], max: number): T[][] {
  if (max === 0) return [];
  const shorter = lists(items, max - 1);
  const longest = max === 1 ? [[]] : shorter.filter((list) => list.length === max - 1);
  return [...shorter, ...longest.flatMap((list) => items.map((item) => [...list, item]))];
}

/** How a token is written in the string form. */
function written(token: Token): string {
  if (typeof token !== 'string') return token.wildcard;
  return token.replaceAll(/[.*#%]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
}

const oddWord = fc.constantFrom(
  '*',
  '#',
  '**',
  'foo*',
  '.',
  '..',
  '%',
  '%2A',
  '%2a',
  ' ',
  '\0',
  '\u0085',
  '__proto__',
);
const word = fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 6 }), oddWord);
const words = fc.array(word, { minLength: 1, maxLength: 6 });
const anyText = fc.oneof(
  fc.string({ unit: fc.constantFrom('.', '*', '#', '%', '2', 'a', 'A', '\n', 'é', '\ud800') }),
  fc.array(fc.nat(0xffff)).map((codes) => String.fromCharCode(...codes)),
  fc
    .array(fc.oneof(word, fc.constantFrom('%C3%A9', '%c3%a9', '%80', '%', 'a')), { maxLength: 5 })
    .map((parts) => parts.join('.')),
);
const token = fc.constantFrom<Token>('a', 'b', '*', '#', one, some);
const fewWords = fc.array(fc.constantFrom('a', 'b', '*', '#'), { minLength: 1, maxLength: 7 });

function gapsOf(pattern: readonly Token[]): number {
  const runs = pattern
    .map((token) => (token === some ? '#' : token === one ? '*' : 'a'))
    .join('')
    .split(/a+/);
  return runs.filter((run) => run.includes('#')).length;
}

describe('parseTopic', () => {
  test('gives back the words that it was given, from the array and from the string form', () => {
    fc.assert(
      fc.property(words, (list) => {
        const { topic } = parseTopic(list);
        expect(parseTopic(list).words).toEqual(list);
        expect(parseTopic(topic)).toEqual({ topic, words: list });
      }),
    );
  });

  test('gives two lists of words two topics', () => {
    fc.assert(
      fc.property(words, words, (a, b) => {
        const same = a.length === b.length && a.every((word, i) => word === b[i]);
        expect(parseTopic(a).topic === parseTopic(b).topic).toBe(same);
      }),
    );
  });

  test('makes a topic that brokers split into the same number of words and take for no pattern', () => {
    fc.assert(
      fc.property(words, (list) => {
        const { topic } = parseTopic(list);
        expect(topic.split('.')).toHaveLength(list.length);
        expect(topic).not.toMatch(/[*#\p{Cc}]/u);
      }),
    );
  });

  test('refuses a string with a TopicError, or comes to the one canonical form', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        let parsed;
        try {
          parsed = parseTopic(text);
        } catch (error) {
          expect(error).toBeInstanceOf(TopicError);
          return;
        }
        expect(parseTopic(parsed.topic)).toEqual(parsed);
        expect(parseTopic(parsed.words)).toEqual(parsed);
        expect(Buffer.byteLength(parsed.topic)).toBeLessThanOrEqual(255);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each<[string, TopicInput, string]>([
    ['leaves ordinary characters as they are', 'Bücher.a b.17~!$&@/:,;', 'Bücher.a b.17~!$&@/:,;'],
    ['escapes a dot', ['1.0'], '1%2E0'],
    ['escapes the words * and #', ['*', '#'], '%2A.%23'],
    ['escapes a wildcard inside a word, in both forms', ['foo*', '**'], 'foo%2A.%2A%2A'],
    ['takes foo* and ** for words', 'foo*.**', 'foo%2A.%2A%2A'],
    ['escapes a per cent sign', ['100%', '%2E'], '100%25.%252E'],
    ['escapes control characters as UTF-8', ['\n\x7f\u0085'], '%0A%7F%C2%85'],
    ['undoes escapes that need not be, in either case', '%61.%c3%A9', 'a.é'],
    ['writes hex digits upper case', '%2e', '%2E'],
    ['takes __proto__ for a word', '__proto__.constructor', '__proto__.constructor'],
  ])('%s', (_, input, topic) => {
    expect(parseTopic(input).topic).toBe(topic);
  });

  test('allows 255 bytes and 128 words', () => {
    expect(parseTopic('a'.repeat(255)).words).toHaveLength(1);
    expect(parseTopic(`${'é'.repeat(127)}a`).words).toHaveLength(1);
    expect(parseTopic(Array.from({ length: 128 }, () => 'a')).words).toHaveLength(128);
  });

  test('freezes what it gives, and does not see later changes of an array', () => {
    const list = ['a', 'b'];
    const parsed = parseTopic(list);
    list[0] = 'c';
    expect(parsed).toEqual({ topic: 'a.b', words: ['a', 'b'] });
    expect(Object.isFrozen(parsed) && Object.isFrozen(parsed.words)).toBe(true);
    expect(Object.isFrozen(parseTopic('%61').words)).toBe(true);
  });

  test('gives the same object for a repeated string, and forgets it among many others', () => {
    const first = parseTopic('repeated');
    expect(parseTopic('repeated')).toBe(first);
    for (let i = 0; i < 1_000; i += 1) parseTopic(`other.${i}`);
    expect(parseTopic('repeated')).not.toBe(first);
    expect(parseTopic('repeated')).toEqual(first);
  });

  test.each<[unknown, string]>([
    ['*.a', 'Topic "*.a" has the wildcard "*". For the ordinary word write "%2A".'],
    ['a.#', 'Topic "a.#" has the wildcard "#". For the ordinary word write "%23".'],
  ])('refuses a wildcard in a string: %j', (input, message) => {
    expect(() => parseTopic(input as TopicInput)).toThrow(new TopicError(message));
  });
});

describe.each([
  ['Topic', parseTopic, TopicError],
  ['Pattern', parsePattern, PatternError],
] as const)('%s grammar', (kind, parse, ExpectedError) => {
  test.each<[string, unknown, string]>([
    ['an empty string', '', '"" is empty'],
    ['an empty word', 'a..b', '"a..b" has an empty word'],
    ['a dot in front', '.a', 'has an empty word'],
    ['a dot at the end', 'a.', 'has an empty word'],
    ['an empty word in an array', ['a', ''], '["a", ""] has an empty word'],
    ['an empty array', [], '[] has no words'],
    ['a per cent sign alone', 'a%', 'has a "%" without two hex digits'],
    ['a per cent sign before other characters', '%zz', 'has a "%" without two hex digits'],
    ['half a character', '%C3', 'has "%" escapes that are not UTF-8'],
    ['a character half escaped', '%C3\u00a9', 'has "%" escapes that are not UTF-8'],
    ['an overlong escape', '%C0%AF', 'has "%" escapes that are not UTF-8'],
    ['an escaped surrogate', '%ED%A0%80', 'has "%" escapes that are not UTF-8'],
    ['a raw control character', 'a\n', '"a\\n" has a raw control character. Write "%0A"'],
    ['a raw C1 control character', 'a\u0085', 'has a raw control character. Write "%C2%85"'],
    ['a lone surrogate', 'a\ud800', '"a\\ud800" has a lone surrogate'],
    ['a lone surrogate in an array', ['\udc00'], 'has a lone surrogate'],
    ['256 bytes', 'a'.repeat(256), 'has more than 255 bytes'],
    ['256 bytes in 128 characters', 'é'.repeat(128), 'has more than 255 bytes'],
    ['256 bytes as written', `${'%61'.repeat(85)}a`, 'has more than 255 bytes'],
    ['256 bytes once escaped', `${'a'.repeat(253)}b*`, 'has more than 255 bytes'],
    ['256 bytes once escaped in an array', [`${'a'.repeat(253)}\n`], 'has more than 255 bytes'],
    ['129 words', Array.from({ length: 129 }, () => 'a'), 'has more than 255 bytes'],
    ['words too long to be joined', Array(3).fill('a'.repeat(2 ** 28)), 'has more than 255 bytes'],
    ['too many words to be joined', Array(2 ** 22).fill('a'.repeat(255)), 'has more than 255 bytes'],
    ['a number', 17, 'number is neither a string nor an array'],
    ['null', null, 'object is neither a string nor an array'],
    ['nothing', undefined, 'undefined is neither a string nor an array'],
    ['a String object', new String('a'), 'object is neither a string nor an array'],
    ['a number in an array', ['a', 17], '["a", number] has a word that is number'],
    ['a symbol in an array', [Symbol('a')], 'has a word that is symbol'],
    ['a hole in an array', new Array(2), 'has a word that is undefined'],
    ['an array in an array', [['a']], 'has a word that is object'],
  ])('refuses %s', (_, input, text) => {
    const attempt = (): unknown => parse(input as TopicInput);
    expect(attempt).toThrow(ExpectedError);
    expect(attempt).toThrow(text);
    expect(attempt).toThrow(new RegExp(`^${kind} `));
  });

  test('shows no more than the beginning of a large input', () => {
    const large = 'a'.repeat(1_000_000);
    expect(() => parse(large)).toThrow(/^[^]{1,1000}$/);
    expect(() => parse(Array.from({ length: 10_000 }, () => large))).toThrow(/^[^]{1,1000}$/);
  });
});

describe('parsePattern', () => {
  test('keeps what a pattern matches, in its normal form too', () => {
    fc.assert(
      fc.property(fc.array(token, { minLength: 1, maxLength: 7 }), fewWords, (pattern, topic) => {
        fc.pre(gapsOf(pattern) <= 2);
        const text = pattern.map(written).join('.');
        const { pattern: normal } = parsePattern(text);
        expect(topicMatches(text, topic)).toBe(matches(pattern, topic));
        expect(topicMatches(normal, topic)).toBe(matches(pattern, topic));
        expect(parsePattern(normal).pattern).toBe(normal);
      }),
      { numRuns: 1_000 },
    );
  });

  test('is matched by plain rules on what stands between the dots', () => {
    fc.assert(
      fc.property(fc.array(token, { minLength: 1, maxLength: 7 }), fewWords, (pattern, topic) => {
        fc.pre(gapsOf(pattern) <= 2);
        const { pattern: normal, segments } = parsePattern(pattern.map(written).join('.'));
        const plain = normal
          .split('.')
          .map((segment) => (segment === '*' ? one : segment === '#' ? some : segment));
        expect(matches(plain, parseTopic(topic).topic.split('.'))).toBe(matches(pattern, topic));
        expect(segments).toEqual(normal.split('.'));
      }),
      { numRuns: 1_000 },
    );
  });

  test('refuses more than two # in the normal form, and only those', () => {
    fc.assert(
      fc.property(fc.array(token, { minLength: 1, maxLength: 12 }), (pattern) => {
        const parse = (): unknown => parsePattern(pattern.map(written).join('.'));
        if (gapsOf(pattern) <= 2) expect(parse).not.toThrow();
        else
          expect(parse).toThrow(
            new RegExp(`has ${gapsOf(pattern)} "#" in its normal form, and 2 is the limit`),
          );
      }),
    );
  });

  test('refuses a string with a PatternError, or comes to the one normal form', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        let parsed;
        try {
          parsed = parsePattern(text);
        } catch (error) {
          expect(error).toBeInstanceOf(PatternError);
          return;
        }
        expect(parsePattern(parsed.pattern)).toEqual(parsed);
      }),
      { numRuns: 1_000 },
    );
  });

  test('reads words without wildcards as parseTopic does', () => {
    fc.assert(
      fc.property(words, (list) => {
        fc.pre(!list.includes('*') && !list.includes('#'));
        expect(parsePattern(list).pattern).toBe(parseTopic(list).topic);
      }),
    );
  });

  test.each<[TopicInput, string]>([
    ['#.#', '#'],
    ['#.*.#', '*.#'],
    ['#.*', '*.#'],
    ['*.#', '*.#'],
    ['*.*', '*.*'],
    ['#.a.#.*.b', '#.a.*.#.b'],
    [['*', '#', 'a.b'], '*.#.a%2Eb'],
    ['%2A.%23.*', '%2A.%23.*'],
    ['foo*.**.#', 'foo%2A.%2A%2A.#'],
    [['%2A'], '%252A'],
  ])('brings %j to the normal form %s', (input, normal) => {
    expect(parsePattern(input).pattern).toBe(normal);
  });

  test('freezes what it gives', () => {
    const parsed = parsePattern('a.*');
    expect(Object.isFrozen(parsed) && Object.isFrozen(parsed.segments)).toBe(true);
  });
});

describe('topicMatches', () => {
  test.each<[TopicInput, TopicInput, boolean]>([
    ['a.*.c', 'a.b.c', true],
    ['a.*.c', 'a.c', false],
    ['a.#.c', 'a.c', true],
    ['#', 'a', true],
    ['*.#', 'a', true],
    ['%2A', ['*'], true],
    ['%2A', ['a'], false],
    [['a.b'], 'a.b', false],
    ['é', '%C3%A9', true],
    ['__proto__.*', '__proto__.toString', true],
  ])('%j and %j: %s', (pattern, topic, expected) => {
    expect(topicMatches(pattern, topic)).toBe(expected);
  });

  test('says which of the two is wrong', () => {
    expect(() => topicMatches('a..b', 'a')).toThrow(PatternError);
    expect(() => topicMatches('a', 'a.*')).toThrow(TopicError);
  });

  test('comes to an end with the longest of topics and patterns', () => {
    const topic = Array.from({ length: 128 }, () => 'a');
    const pattern = [
      '#',
      ...Array.from({ length: 60 }, () => 'a'),
      '#',
      ...Array.from({ length: 60 }, () => '*'),
      'b',
    ];
    for (let i = 0; i < 10; i += 1) expect(topicMatches(pattern, topic)).toBe(false);
  });
});

describe('patternCovers', () => {
  test('is exact for all patterns of up to four words', () => {
    // The topics of two more words than a pattern has tell all of these apart; z stands for a word in none of them.
    const topics = lists(['a', 'b', 'z'], 6);
    const patterns = lists<Token>(['a', 'b', one, some], 4).map((tokens) => ({
      text: tokens.map(written).join('.'),
      matched: topics.map((topic) => matches(tokens, topic)),
    }));
    const wrong: string[] = [];
    for (const wide of patterns) {
      for (const narrow of patterns) {
        const covered = narrow.matched.every((matched, i) => !matched || wide.matched[i]);
        if (patternCovers(wide.text, narrow.text) !== covered)
          wrong.push(`${wide.text} covers ${narrow.text}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('never says yes where a topic says no', () => {
    const pattern = fc.array(token, { minLength: 1, maxLength: 7 }).filter((tokens) => gapsOf(tokens) <= 2);
    fc.assert(
      fc.property(pattern, pattern, fewWords, (wide, narrow, topic) => {
        fc.pre(matches(narrow, topic) && !matches(wide, topic));
        expect(patternCovers(wide.map(written).join('.'), narrow.map(written).join('.'))).toBe(false);
      }),
    );
  });

  test.each<[TopicInput, TopicInput, boolean]>([
    ['#', 'a.*.#', true],
    ['a.#', 'a', true],
    ['*.#', '#', true], // no topic is empty
    ['*', '#', false],
    ['*.*.#', 'a.#.b', true],
    ['a.*', ['a', '*'], true],
    ['a.*', 'a.%2A', true],
    ['a.%2A', 'a.*', false],
  ])('%j covers %j: %s', (wide, narrow, expected) => {
    expect(patternCovers(wide, narrow)).toBe(expected);
  });
});
