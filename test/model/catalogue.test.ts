import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { z } from 'zod';
import { canMatch, parseKey } from '../../src/model/catalogue-key.js';
import { Catalogue, defineMessages, type, type Reading } from '../../src/model/catalogue.js';
import type { InvalidDataError } from '../../src/model/errors.js';
import type { StandardSchema } from '../../src/model/standard-schema.js';
import { parsePattern, parseTopic, topicMatches, type TopicInput } from '../../src/model/topic.js';

/** As a program without types gives it. */
const define = (...keys: string[]): Catalogue =>
  new Catalogue(Object.fromEntries(keys.map((key) => [key, type()])));
const read = (catalogue: Catalogue, topic: TopicInput, data: unknown) =>
  catalogue.read(parseTopic(topic), data) as Reading;
const thrown = (run: () => unknown): InvalidDataError => {
  try {
    run();
  } catch (error) {
    return error as InvalidDataError;
  }
  throw new Error('It threw nothing.');
};

describe('a catalogue', () => {
  it('refuses what is no key, and says why', () => {
    const cases: [string, RegExp][] = [
      ['', /is empty/],
      ['a..b', /empty word/],
      ['a.*', /wildcard/],
      ['#', /wildcard/],
      ['a.:', /A name is a letter/],
      ['a.:1', /A name is a letter/],
      ['a.:__proto__', /A name is a letter/],
      ['a.:x.b.:x', /names ":x" twice/],
      ['a.%2e', /canonical form/],
      ['a.%zz', /two hex digits/],
      ['x'.repeat(256), /255 bytes/],
    ];
    for (const [key, text] of cases) {
      const error = thrown(() => define(key));
      expect([key, error.code], error.message).toEqual([key, 'ERR_CATALOGUE']);
      expect(error.message).toMatch(text);
    }
  });

  it('refuses two keys that fit one topic, and names both', () => {
    for (const [one, other] of [
      ['a.:x', 'a.:y'],
      ['a.:x', 'a.b'],
      [':x.b', 'a.:y'],
      [':x', 'a'],
      ['%3Ax', ':y'],
    ] as const)
      expect(thrown(() => define('z.z.z', one, other)).message).toContain(
        `Keys "${one}" and "${other}" fit one topic`,
      );
    expect(() => define('a.:x.b', 'a.:x.c', 'a.:x', 'b.:x', ':x.y.z.a')).not.toThrow();
  });

  it('refuses what is no Standard Schema', () => {
    for (const schema of [
      undefined,
      null,
      1,
      {},
      () => 1,
      { '~standard': { version: 2, validate: () => 1 } },
    ])
      expect(thrown(() => new Catalogue({ a: schema as unknown as StandardSchema }))).toMatchObject({
        code: 'ERR_CATALOGUE',
        message: expect.stringContaining('key "a"') as string,
      });
    expect(thrown(() => new Catalogue(null as never)).code).toBe('ERR_CATALOGUE');
  });

  it('finds the key of a topic, and its parameters as words', () => {
    const catalogue = define('changes.:id.new', 'a%2Eb.:x', '%3Aliteral.:x', 'summary', 'all.:of.:them');
    const found = (topic: TopicInput) => {
      const { key, params } = read(catalogue, topic, 1);
      return [key, params];
    };
    expect(found('changes.17.new')).toEqual(['changes.:id.new', { id: '17' }]);
    expect(found(['changes', '1.7 *', 'new'])).toEqual(['changes.:id.new', { id: '1.7 *' }]);
    expect(found('changes.1%2E7.new')).toEqual(['changes.:id.new', { id: '1.7' }]);
    expect(found(['a.b', 'c'])).toEqual(['a%2Eb.:x', { x: 'c' }]);
    expect(found([':literal', ':c'])).toEqual(['%3Aliteral.:x', { x: ':c' }]);
    expect(found('summary')).toEqual(['summary', {}]);
    expect(found('all.a.b')).toEqual(['all.:of.:them', { of: 'a', them: 'b' }]);
    expect(Object.isFrozen(found('all.a.b')[1])).toBe(true);
    for (const topic of ['changes.17', 'changes.17.new.x', 'changes.17.old', 'summary.x', 'other'])
      expect(thrown(() => found(topic))).toMatchObject({
        code: 'ERR_UNKNOWN_TOPIC',
        message: expect.stringContaining(`"${topic}"`) as string,
      });
  });

  it('knows the patterns that no topic of a key matches', () => {
    const word = fc.constantFrom('a', 'b', ':x', ':y');
    const step = fc.constantFrom('a', 'b', '*', '#');
    const topics = ['a', 'b', 'c'].flatMap((one) => [
      one,
      ...['a', 'b', 'c'].flatMap((two) => [
        `${one}.${two}`,
        ...['a', 'b', 'c'].map((three) => `${one}.${two}.${three}`),
      ]),
    ]);
    fc.assert(
      fc.property(
        fc.uniqueArray(word, { minLength: 1, maxLength: 3 }),
        fc.array(step, { minLength: 1, maxLength: 3 }),
        (words, steps) => {
          const key = parseKey(words.join('.'));
          const { segments } = parsePattern(steps);
          const pattern = key.words.map((one) => one ?? '*');
          const expected = topics.some((topic) => topicMatches(pattern, topic) && topicMatches(steps, topic));
          expect(canMatch(segments, key)).toBe(expected);
        },
      ),
    );
    const error = thrown(() => define('a.:x').checkPattern('b.#'));
    expect([error.code, error.message]).toEqual([
      'ERR_UNKNOWN_TOPIC',
      'No topic of the catalogue matches the pattern "b.#". Add a key, or use master.untyped.',
    ]);
  });
});

describe('reading data', () => {
  const catalogue: Catalogue = defineMessages({
    zod: z.object({ author: z.string(), files: z.array(z.object({ name: z.string() })).default([]) }),
    valibot: v.object({ at: v.date(), tags: v.optional(v.array(v.string())) }),
    plain: type<{ never: 'checked' }>(),
    number: z.object({ count: z.string().transform(Number) }),
    later: z.object({ id: z.string().refine(async (id) => id !== 'bad', 'is bad') }),
    strict: z.strictObject({ a: z.number() }),
  });

  it('hands on what was given, unknown fields too, where a schema only checks', () => {
    const zod = { author: 'ada', branch: 'main', files: [{ name: 'a', bytes: 1 }] };
    const valibot = { at: new Date(5), tags: ['x'], more: new Map([['a', 1]]) };
    expect(read(catalogue, 'zod', zod).data).toBe(zod);
    expect(read(catalogue, 'valibot', valibot).data).toBe(valibot);
    expect(read(catalogue, 'plain', 7)).toMatchObject({ data: 7, isAsGiven: true });
  });

  it('hands on what a schema has made of it, frozen', () => {
    const { data, isAsGiven } = read(catalogue, 'number', { count: '12', more: 1 });
    expect([data, isAsGiven, Object.isFrozen(data)]).toEqual([{ count: 12 }, false, true]);
    expect(read(catalogue, 'zod', { author: 'ada' }).data).toEqual({ author: 'ada', files: [] });
  });

  it('says what a schema has against it, and where', () => {
    const data = { author: 7, files: [{ name: 'a' }, {}] };
    const error = thrown(() => read(catalogue, 'zod', data));
    expect(error).toMatchObject({ code: 'ERR_INVALID_DATA', topic: 'zod', key: 'zod', retryable: false });
    expect(error.issues.map(({ path }) => path)).toEqual([['author'], ['files', 1, 'name']]);
    expect(error.message).toMatch(
      /^The data on "zod" was refused by the schema of key "zod": author: .*string.*; files\.1\.name: /,
    );
    const other = thrown(() => read(catalogue, 'valibot', { at: 'now' }));
    expect(other.issues.map(({ path }) => path)).toEqual([['at']]);
    expect(thrown(() => read(catalogue, 'strict', { a: 1, b: 2 })).code).toBe('ERR_INVALID_DATA');
  });

  it('keeps a bounded number of issues', () => {
    const issues = Array.from({ length: 5_000 }, (_, at) => ({
      message: 'x'.repeat(900),
      path: [{ key: at }],
    }));
    const noisy: Catalogue = new Catalogue({
      a: { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues }) } },
    });
    const error = thrown(() => read(noisy, 'a', 1));
    expect(error.issues).toHaveLength(100);
    expect(error.issues[7]!.path).toEqual([7]);
    expect(error.message).toMatch(/; and 4997 more$/);
    expect(error.message.length).toBeLessThan(1_000);
  });

  it('waits for a schema that answers later', async () => {
    expect(await catalogue.read(parseTopic('later'), { id: 'good' })).toMatchObject({ data: { id: 'good' } });
    await expect(catalogue.read(parseTopic('later'), { id: 'bad' })).rejects.toMatchObject({
      code: 'ERR_INVALID_DATA',
      issues: [{ message: 'is bad', path: ['id'] }],
    });
  });

  it('takes a schema that throws, or rejects, for one that refuses', async () => {
    const cause = new Error('broken');
    const schema = (validate: () => never | Promise<never>): StandardSchema => ({
      '~standard': { version: 1, vendor: 'test', validate },
    });
    const broken = new Catalogue({
      now: schema(() => {
        throw cause;
      }),
      later: schema(() => Promise.reject(cause)),
    });
    expect(thrown(() => read(broken, 'now', 1))).toMatchObject({
      code: 'ERR_INVALID_DATA',
      cause,
      issues: [],
    });
    await expect(broken.read(parseTopic('later'), 1)).rejects.toMatchObject({
      code: 'ERR_INVALID_DATA',
      cause,
    });
  });
});
