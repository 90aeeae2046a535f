import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Routes } from '../../src/model/routes.js';
import { TopicIndex } from '../../src/model/topic-index.js';

describe('routes', () => {
  it('give what a topic index gives, whatever was asked before', () => {
    const pattern = fc.constantFrom('a', 'a.b', 'a.*', '*.b', '#', 'a.#', '#.b', '*');
    const value = fc.integer({ min: 0, max: 3 });
    const step = fc.oneof(
      fc.record({ type: fc.constantFrom('add', 'remove'), pattern, value }),
      fc.record({ type: fc.constant('match'), topic: fc.constantFrom('a', 'b', 'a.b', 'a.c', 'a.b.b') }),
    ) as fc.Arbitrary<
      { type: 'add' | 'remove'; pattern: string; value: number } | { type: 'match'; topic: string }
    >;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const routes = new Routes<number>();
        const index = new TopicIndex<number>();
        for (const one of steps) {
          if (one.type === 'match') expect(routes.match(one.topic)).toEqual(index.match(one.topic));
          else expect(routes[one.type](one.pattern, one.value)).toBe(index[one.type](one.pattern, one.value));
        }
      }),
    );
  });

  it('leave a list as it is that somebody goes through', () => {
    const routes = new Routes<string>();
    routes.add('a', 'one');
    routes.add('a', 'two');
    const before = routes.match('a');
    routes.remove('a', 'one');
    routes.add('#', 'three');
    expect(before).toEqual(['one', 'two']);
    expect(routes.match('a')).toEqual(expect.arrayContaining(['two', 'three']));
  });

  it('are right for more topics than they remember', () => {
    const routes = new Routes<string>();
    routes.add('a.*', 'some');
    routes.add('a.7', 'seven');
    const topics = Array.from({ length: 30_000 }, (_, number) => `a.${number}`);
    for (let round = 0; round < 2; round++)
      expect(topics.filter((topic) => routes.match(topic).length !== 1)).toEqual(['a.7']);
  });
});
