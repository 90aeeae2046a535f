import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { PatternError } from '../../src/model/errors.js';
import { TopicIndex } from '../../src/model/topic-index.js';
import { TopicTrie } from '../../src/model/topic-trie.js';
import { parsePattern, parseTopic } from '../../src/model/topic.js';

function matches(pattern: readonly string[], topic: readonly string[]): boolean {
  const [segment, ...rest] = pattern;
  if (segment === undefined) return topic.length === 0;
  if (segment === '#') return matches(rest, topic) || (topic.length > 0 && matches(pattern, topic.slice(1)));
  return topic.length > 0 && (segment === '*' || segment === topic[0]) && matches(rest, topic.slice(1));
}

// Much is drawn and counted here, and the machine may have other work.
vi.setConfig({ testTimeout: 60_000 });

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const word = fc.constantFrom('a', 'b', 'ab', '__proto__', 'constructor', '%2A', '%23');
const topic = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join('.'));
const pattern = fc
  .array(fc.oneof({ weight: 2, arbitrary: word }, fc.constantFrom('*', '#')), { minLength: 1, maxLength: 6 })
  .map((segments) => segments.join('.'))
  .filter((text) => text.split(/[^*#.]+/).filter((run) => run.includes('#')).length <= 2);

const oddCharacter = fc.constantFrom('a', '.', '%', '*', '#', '2', 'A', ' ', '\0', '\u0085', 'é', '字', '🚂');

const value = fc.constantFrom<unknown>(
  undefined,
  null,
  0,
  -0,
  Number.NaN,
  'x',
  { an: 'object' },
  new Set([1]),
  [1],
);
const command = fc.oneof(
  fc.record({ type: fc.constant('add' as const), pattern, value }),
  fc.record({ type: fc.constant('remove' as const), pattern, value }),
  fc.record({ type: fc.constant('removeOne' as const), nth: fc.nat() }),
  fc.record({ type: fc.constant('match' as const), topic }),
);

/** The values in any order, as a Set tells them apart. */
function asSet(values: readonly unknown[]): Set<unknown> {
  const set = new Set(values);
  expect(set.size).toBe(values.length);
  return set;
}

describe('TopicIndex', () => {
  test('finds the patterns that a look at each one finds', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(pattern, { maxLength: 60, size: 'max' }),
        fc.array(topic, { maxLength: 20, size: 'max' }),
        (patterns, topics) => {
          const index = new TopicIndex<string>();
          for (const text of patterns) index.add(text, text);
          for (const text of topics) {
            const expected = patterns.filter((candidate) => matches(candidate.split('.'), text.split('.')));
            expect(index.match(text).toSorted()).toEqual(expected.toSorted());
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('is a set of pairs of normal form and value', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 100, size: 'max' }), (commands) => {
        const index = new TopicIndex<unknown>();
        let pairs: { pattern: string; value: unknown }[] = [];
        const has =
          (pair: { pattern: string; value: unknown }) => (other: { pattern: string; value: unknown }) =>
            other.pattern === pair.pattern && [other.value].includes(pair.value);
        const remove = (text: string, value: unknown): void => {
          const pair = { pattern: parsePattern(text).pattern, value };
          expect(index.remove(text, value)).toBe(pairs.some(has(pair)));
          pairs = pairs.filter((other) => !has(pair)(other));
        };
        for (const command of commands) {
          if (command.type === 'match') {
            const matching = pairs.filter((pair) =>
              matches(pair.pattern.split('.'), command.topic.split('.')),
            );
            expect(asSet(index.match(command.topic))).toEqual(new Set(matching.map((pair) => pair.value)));
          } else if (command.type === 'add') {
            const pair = { pattern: parsePattern(command.pattern).pattern, value: command.value };
            expect(index.add(command.pattern, command.value)).toBe(!pairs.some(has(pair)));
            if (!pairs.some(has(pair))) pairs.push(pair);
          } else if (command.type === 'remove') remove(command.pattern, command.value);
          else {
            const pair = pairs[command.nth % pairs.length];
            if (pair !== undefined) remove(pair.pattern, pair.value);
          }
          expect(index.size).toBe(pairs.length);
          expect(index.patterns).toBe(new Set(pairs.map((pair) => pair.pattern)).size);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('takes what parseTopic gives for topics of any words', () => {
    const words = fc.array(fc.string({ unit: oddCharacter, minLength: 1, maxLength: 5 }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(words, fc.nat(5), fc.constantFrom('*', '#'), (list, at, wildcard) => {
        fc.pre(!list.includes('*') && !list.includes('#'));
        const index = new TopicIndex<string>();
        index.add(list, 'exact');
        index.add(list.with(at % list.length, wildcard), 'wild');
        expect(index.match(parseTopic(list).topic)).toEqual(['exact', 'wild']);
        expect(index.match(parseTopic([...list, 'more', 'words']).topic)).not.toContain('exact');
      }),
    );
  });

  test('knows a pattern again in another form', () => {
    const index = new TopicIndex<string>();
    expect(index.add('#.*.#', 'x')).toBe(true);
    expect(index.add(['*', '#'], 'x')).toBe(false);
    expect(index.remove('#.*', 'x')).toBe(true);
    expect(index.size).toBe(0);
  });

  test('gives a value once, however many patterns match', () => {
    const index = new TopicIndex<number>();
    const patterns = ['a.b', 'a.*', '*.b', '#', 'a.#', '#.b', '#.a.#', '*.*'];
    for (const text of patterns) for (let i = 0; i < 40; i += 1) index.add(text, i);
    expect(index.match('a.b').toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(index.size).toBe(patterns.length * 40);
    expect(index.patterns).toBe(patterns.length);
  });

  test('gives one value once for two patterns', () => {
    const index = new TopicIndex<string>();
    for (const text of ['a', '*', '#']) index.add(text, 'x');
    expect(index.match('a')).toEqual(['x']);
  });

  test('gives an array that the caller may change', () => {
    const index = new TopicIndex<string>();
    index.add('a', 'x');
    index.match('a').push('y');
    expect(index.match('a')).toEqual(['x']);
  });

  test('holds more values of one pattern than fit into a call', () => {
    const index = new TopicIndex<number>();
    for (let i = 0; i < 200_000; i += 1) index.add('a.*', i);
    expect(index.match('a.b')).toHaveLength(200_000);
  });

  test('refuses a broken pattern, and stays as it was', () => {
    const index = new TopicIndex<string>();
    expect(() => index.add('a..b', 'x')).toThrow(PatternError);
    expect(() => index.remove('#.a.#.a.#', 'x')).toThrow(PatternError);
    expect(index.size).toBe(0);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length', '0'])(
    'takes %s for a word',
    (word) => {
      const index = new TopicIndex<string>();
      expect(index.match(word)).toEqual([]);
      expect(index.match(`${word}.${word}`)).toEqual([]);
      index.add(word, 'exact');
      index.add(`${word}.*`, 'wild');
      expect(index.match(word)).toEqual(['exact']);
      expect(index.match(`${word}.${word}`)).toEqual(['wild']);
      expect(index.remove(word, 'exact')).toBe(true);
    },
  );

  test('matches a topic of 128 words against thousands of patterns with two #', () => {
    const index = new TopicIndex<number>();
    const stretch = (length: number): string[] => Array.from({ length }, (_, i) => ['a', 'b'][i % 2]!);
    for (let first = 1; first < 40; first += 1) {
      for (let second = 1; second < 40; second += 1) {
        const value = 100 * first + second;
        index.add(['#', ...stretch(first), '#', ...stretch(second)], value);
        index.add(['*', '#', ...stretch(first), '#', ...stretch(second), 'none'], value);
      }
    }
    // It ends in b, as the stretches of an even number of words do.
    const topic = stretch(128).join('.');
    for (let i = 0; i < 10; i += 1) expect(index.match(topic)).toHaveLength(39 * 19);
  });

  test('gives its memory back', () => {
    const used = (): number => {
      collectGarbage();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    const each = (act: (pattern: string, i: number) => void): void => {
      for (let i = 0; i < 25_000; i += 1) act(`${['a.b.', '*.b.', 'a.#.', '#.b.#.'][i % 4]}${i}.c`, i);
    };
    // The first time round the code is compiled, which takes memory too.
    const other = new TopicIndex<number>();
    each((pattern, i) => other.add(pattern, i));
    each((pattern, i) => other.remove(pattern, i));
    const index = new TopicIndex<number>();
    const before = used();
    each((pattern, i) => index.add(pattern, i));
    const filled = used() - before;
    each((pattern, i) => index.remove(pattern, i));
    expect(index.size).toBe(0);
    expect(used() - before).toBeLessThan(filled / 8);
  });

  test.each(['a.b', 'a.*', '#.a', '#'])('lets go of a value removed from %s', async (text) => {
    const index = new TopicIndex<object>();
    const add = (): WeakRef<object> => {
      const value = { of: text };
      index.add(text, value);
      index.match('a.b');
      index.remove(text, value);
      return new WeakRef(value);
    };
    const reference = add();
    await new Promise(setImmediate); // until then a WeakRef holds its object
    collectGarbage();
    expect(reference.deref()).toBeUndefined();
    expect(index.size).toBe(0);
  });
});

describe('TopicTrie', () => {
  test.each([
    ['hashes that differ', 0x9e3779b1],
    ['the same hash for all words', 0],
  ])('is a map from patterns to values, with %s', (_, factor) => {
    const patterns = fc.uniqueArray(pattern, { minLength: 1, maxLength: 40, size: 'max' });
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(), fc.nat(9)), { maxLength: 150, size: 'max' });
    const topics = fc.array(topic, { maxLength: 10, size: 'max' });
    fc.assert(
      fc.property(patterns, steps, topics, (texts, steps, topics) => {
        const trie = new TopicTrie<number>(factor);
        const model = new Map<string, number>();
        const parsed = texts.map((text) => parsePattern(text));
        for (const [isSet, nth, number] of steps) {
          const pattern = parsed[nth % parsed.length]!;
          if (isSet) {
            trie.set(pattern, number);
            model.set(pattern.pattern, number);
          } else {
            trie.delete(pattern);
            model.delete(pattern.pattern);
          }
          expect(trie.size).toBe(model.size);
        }
        for (const pattern of parsed) expect(trie.get(pattern)).toBe(model.get(pattern.pattern));
        for (const topic of topics) {
          const expected = [...model].filter(([text]) => matches(text.split('.'), topic.split('.')));
          expect(trie.match(topic).toSorted()).toEqual(expected.map(([, number]) => number).toSorted());
        }
      }),
      { numRuns: 150 },
    );
  });
});
