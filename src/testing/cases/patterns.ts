import assert from 'node:assert/strict';
import { parsePattern, parseTopic, topicMatches } from '../../model/topic.js';
import { casesOf } from './case.js';
import type { Lab } from './lab.js';
import type { Member } from './member.js';
import type { Received } from './records.js';

/** Some topics are there to be near misses of some pattern. */
const topics = [
  'a',
  'b',
  'A',
  'a.b',
  'b.a',
  'aa.b',
  'a.b.c',
  'a.c',
  'a.x.c',
  'a.x.y.c',
  'a.b.x.c',
  'a.q.b.x.c',
  'a.q.r.b.x.c',
  'x.b.y',
  'x.y.b',
  ['*'],
  ['#'],
  ['a', '*'],
  ['a.b'],
  ['a', '%2E', 'b'],
  ['%'],
  ['>'],
  ['>', 'x'],
  ['$SYS', 'x'],
  ['a b', 'c\td'],
  ['a/b', 'c:d', '"\\'],
  ['\u0000', '\u007f'],
  '__proto__',
  '__proto__.x',
  'constructor.prototype',
  'toString',
  'é.x',
  'e\u0301.x',
  '日本.語',
  '🚦.x',
  'x'.repeat(255),
  `${'é'.repeat(127)}x`,
  Array.from({ length: 128 }, () => 'a'),
].map((topic) => parseTopic(topic).topic);

const patterns = [
  '#',
  '*',
  '*.*',
  '*.#',
  '*.*.#',
  '*.*.*.#',
  'a',
  'a.#',
  'a.*',
  '#.b',
  '*.b',
  '#.b.#',
  'a.*.c',
  'a.#.c',
  'a.*.#.c',
  'a.#.b.*.c',
  'a.#.b.#',
  ['a', '#', 'a'],
  '%2A',
  '%23',
  'a.%2A',
  'a%2Eb',
  ['a', '%2E', '*'],
  ['>'],
  ['>', '*'],
  ['$SYS', '#'],
  ['a b', '#'],
  ['a/b', '*', '"\\'],
  ['\u0000', '*'],
  '__proto__',
  '__proto__.#',
  'constructor.*',
  'toString',
  'é.*',
  '日本.*',
  '*.語',
  'x'.repeat(255),
  `${'é'.repeat(127)}x`,
  `${'*.'.repeat(127)}*`,
  `${'*.'.repeat(124)}*.#.a`,
].map((pattern) => parsePattern(pattern).pattern);

export const patternCases = casesOf('patterns', {
  'gives a transient queue what its pattern matches, and nothing else': async (lab) => {
    const listener = await lab.connect('listener');
    await compare(lab, async (pattern) => (await listener.listen([pattern, 'end'])).sink);
  },

  'gives a durable queue what its pattern matches, and nothing else': async (lab) => {
    const keeper = await lab.connect('keeper');
    await compare(lab, async (pattern) => {
      const queue = lab.unique('queue');
      await keeper.share(queue, [pattern, 'end']);
      return (await keeper.consume(queue)).sink;
    });
  },

  'gives one queue the union of its patterns': async (lab) => {
    const member = await lab.connect('master');
    const queue = lab.unique('queue');
    const several = ['a.*', '#.b', '%2A', '__proto__.#', 'end'];
    await member.share(queue, several);
    const received = [(await member.listen(several)).sink, (await member.consume(queue)).sink];
    await publishTopics(member);
    const expected = [...topics, 'end'].filter((topic) =>
      several.some((pattern) => topicMatches(pattern, topic)),
    );
    for (const sink of received) await lab.gets(sink, expected);
  },
});

async function compare(lab: Lab, receive: (pattern: string) => Promise<Received>): Promise<void> {
  const publisher = await lab.connect('publisher');
  const received = new Map<string, Received>();
  for (const pattern of patterns) received.set(pattern, await receive(pattern));
  await publishTopics(publisher);
  for (const [pattern, sink] of received) {
    const expected = topics.filter((topic) => topicMatches(pattern, topic));
    await lab.eventually(() => sink.data.includes('end'), `the end comes to ${pattern}`);
    assert.deepEqual(sink.data, [...expected, 'end'], `pattern ${pattern}`);
  }
}

/** Each topic is the data of its message. */
async function publishTopics(publisher: Member): Promise<void> {
  for (const topic of topics) await publisher.publish(topic, topic);
  await publisher.publish('end', 'end');
}
