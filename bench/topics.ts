import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
// @ts-expect-error: it has no types
import qlobber from 'qlobber';
import { TopicIndex } from '../src/model/topic-index.js';
import { parseTopic } from '../src/model/topic.js';
import { median, result, type Result } from './result.js';

/** What both can do. */
interface Matcher {
  add(pattern: string, value: number): unknown;
  match(topic: string): Iterable<number>;
}

const { Qlobber, QlobberDedup } = qlobber as Record<
  'Qlobber' | 'QlobberDedup',
  new (options: object) => Matcher
>;
const amqp = { separator: '.', wildcard_one: '*', wildcard_some: '#' };
const makers = {
  signalbox: (): Matcher => new TopicIndex<number>(),
  qlobber: (): Matcher => new Qlobber(amqp),
  'qlobber, each value once': (): Matcher => new QlobberDedup(amqp),
};
type Maker = keyof typeof makers;

const patternCount = 100_000;
const topicsPerRound = 20_000;
const rounds = 15;

/** mulberry32: the same patterns and topics in each run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Random = ReturnType<typeof createRandom>;

function createVocabulary(random: Random, size: number): string[] {
  const words = new Set<string>();
  while (words.size < size) {
    const length = 4 + random(7);
    words.add(Array.from({ length }, () => String.fromCharCode(97 + random(26))).join(''));
  }
  return [...words];
}

interface Load {
  patterns: string[];
  topic: () => string;
}

/** A fifth each of five shapes; four vocabularies of 270 words, with which a topic has about one hit. */
function mixedLoad(count: number): Load {
  const random = createRandom(1);
  const words = Array.from({ length: 4 }, () => createVocabulary(random, 270));
  const pick = (place: number): string => words[place]?.[random(270)] ?? '';
  const shapes = [
    () => `${pick(0)}.${pick(1)}.${pick(2)}`,
    () => `${pick(0)}.*.${pick(2)}`,
    () => `${pick(0)}.${pick(1)}.#`,
    () => `*.${pick(1)}.${pick(2)}`,
    () => `${pick(0)}.#.${pick(2)}`,
  ];
  return {
    patterns: distinct(count, (i) => shapes[i % 5]?.() ?? ''),
    topic: () => [pick(0), pick(1), ...(random(5) === 0 ? [pick(3)] : []), pick(2)].join('.'),
  };
}

/** Exact patterns only; nine of ten topics have a hit. */
function exactLoad(count: number): Load {
  const random = createRandom(2);
  const words = createVocabulary(random, 270);
  const pick = (): string => words[random(270)] ?? '';
  const patterns = distinct(count, () => `${pick()}.${pick()}.${pick()}`);
  return {
    patterns,
    topic: () => (random(10) === 0 ? `${pick()}.${pick()}.none` : (patterns[random(count)] ?? '')),
  };
}

function distinct(count: number, make: (i: number) => string): string[] {
  const patterns = new Set<string>();
  while (patterns.size < count) patterns.add(make(patterns.size));
  return [...patterns];
}

function fill(matcher: Matcher, patterns: readonly string[]): Matcher {
  patterns.forEach((pattern, i) => matcher.add(pattern, i));
  return matcher;
}

/** Nanoseconds per match, for strings that no cache has seen. */
function time(matcher: Matcher, topics: readonly string[]): number {
  const fresh = topics.map((topic) => Buffer.from(topic).toString('latin1'));
  const start = process.hrtime.bigint();
  for (const topic of fresh) matcher.match(topic);
  return Number(process.hrtime.bigint() - start) / fresh.length;
}

interface Entrant {
  matcher: Matcher;
  load: Load;
}

/** The median times of the entrants, who run in turns; those with one load get the same topics. */
function race(entrants: readonly Entrant[]): number[] {
  const times = entrants.map((): number[] => []);
  for (let round = -2; round < rounds; round += 1) {
    const topics = new Map<Load, string[]>();
    entrants.forEach(({ matcher, load }, i) => {
      if (!topics.has(load)) topics.set(load, Array.from({ length: topicsPerRound }, load.topic));
      const taken = time(matcher, topics.get(load) ?? []);
      if (round >= 0) times[i]?.push(taken);
    });
  }
  return times.map(median);
}

/** Mean number of values for a topic; they must be the same for all. */
function countHits(entrants: readonly Entrant[]): number {
  let hits = 0;
  for (let i = 0; i < topicsPerRound; i += 1) {
    const topic = entrants[0]?.load.topic() ?? '';
    const found = entrants.map(({ matcher }) =>
      [...new Set(matcher.match(topic))].toSorted((a, b) => a - b).join(),
    );
    if (new Set(found).size > 1) throw new Error(`They do not agree about "${topic}": ${found.join(' | ')}.`);
    hits += found[0] === '' ? 0 : (found[0]?.split(',').length ?? 0);
  }
  return hits / topicsPerRound;
}

/** Nanoseconds for `parseTopic` of one topic after the other. */
function timeParsing(topics: readonly string[]): number {
  const times: number[] = [];
  for (let round = -2; round < rounds; round += 1) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < topicsPerRound; i += 1) parseTopic(topics[i % topics.length] ?? '');
    const taken = Number(process.hrtime.bigint() - start) / topicsPerRound;
    if (round >= 0) times.push(taken);
  }
  return median(times);
}

/** Bytes that a filled matcher takes, measured in a process of its own. */
function memoryOf(maker: Maker): number {
  const file = fileURLToPath(import.meta.url);
  return Number(
    execFileSync(process.execPath, ['--expose-gc', file, '--memory', maker], { encoding: 'utf8' }),
  );
}

function measureMemory(maker: Maker): number {
  const { patterns } = mixedLoad(patternCount);
  const used = (): number => {
    gc?.();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  const matcher = fill(makers[maker](), patterns);
  const after = used();
  matcher.match('a.b.c');
  return after - before;
}

export async function run(): Promise<Result[]> {
  const results: Result[] = [];
  const say = (...figure: Parameters<typeof result>): void => {
    results.push(result(...figure));
  };
  const names = Object.keys(makers) as Maker[];
  for (const [kind, load, atLeast] of [
    ['mixed', mixedLoad(patternCount), 1.5],
    ['exact', exactLoad(patternCount), 3],
  ] as const) {
    const entrants = names.map((name) => ({ matcher: fill(makers[name](), load.patterns), load }));
    say(`${kind}: hits`, countHits(entrants), 'per topic');
    const times = race(entrants);
    names.forEach((name, i) => {
      say(`${kind}: ${name}`, times[i] ?? NaN, 'ns/match');
    });
    const [own = NaN, ...peers] = times;
    say(`${kind}: speed against the faster qlobber`, Math.min(...peers) / own, 'x', { atLeast });
  }
  const sizes = [exactLoad(1_000), exactLoad(patternCount)];
  const [small = NaN, large = NaN] = race(
    sizes.map((load) => ({ matcher: fill(makers.signalbox(), load.patterns), load })),
  );
  say('exact: time with 100,000 patterns against 1,000', large / small, 'x', { atMost: 4 });
  const memory = names.map(memoryOf);
  names.forEach((name, i) => {
    say(`mixed: memory of ${name}`, (memory[i] ?? NaN) / 1e6, 'MB');
  });
  const [own = NaN, ...peers] = memory;
  say('mixed: memory against the smaller qlobber', own / Math.min(...peers), 'x', { atMost: 1 });
  const { topic } = mixedLoad(0);
  say('parseTopic: 100 topics again and again', timeParsing(Array.from({ length: 100 }, topic)), 'ns/topic');
  return results;
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] === '--memory') {
  console.log(measureMemory(process.argv[3] as Maker));
}
