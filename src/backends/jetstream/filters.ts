import { END, escapeWords } from './subjects.js';

/** So many words a `#` stands for exactly; beyond that one filter takes all that is longer, and too much. */
const WORDS_MAX = { one: 16, two: 6 } as const;

/** More filters than that are not given to one consumer. */
const FILTERS_MAX = 200;

/** What a queue is filtered by at the server. What comes is still compared with the patterns. */
export interface Filter {
  readonly subjects: readonly string[];
  /** Whether more comes than the patterns want. */
  readonly isCoarse: boolean;
}

/**
 * Subjects that cover the pattern (in its normal form), without the prefix. `*` is NATS's own, a `#` at the end is `>`; one
 * inside becomes a filter for each number of words that it may stand for.
 */
export function subjectsOf(pattern: string): string[] {
  const segments = escapeWords(pattern).split('.');
  const isOpen = segments.at(-1) === '#';
  if (isOpen) segments.pop();
  const gaps = segments.filter((segment) => segment === '#').length;
  const max = gaps > 1 ? WORDS_MAX.two : WORDS_MAX.one;
  const found: string[] = [];
  const expand = (at: number, words: readonly string[]): void => {
    const gap = segments.indexOf('#', at);
    if (gap < 0) {
      found.push([...words, ...segments.slice(at), isOpen ? '>' : END].join('.'));
      return;
    }
    const before = [...words, ...segments.slice(at, gap)];
    for (let length = 0; length < max; length++)
      expand(gap + 1, [...before, ...Array<string>(length).fill('*')]);
    found.push([...before, ...Array<string>(max).fill('*'), '>'].join('.'));
  };
  expand(0, []);
  return withoutCovered(found);
}

/**
 * What a consumer of these patterns is filtered by; undefined without patterns. A server before 2.10 takes one filter only:
 * then it is as narrow as one can be.
 */
export function filterOf(
  patterns: readonly string[],
  options: { readonly prefix: string; readonly several: boolean },
): Filter | undefined {
  if (patterns.length === 0) return undefined;
  const { prefix, several } = options;
  const all: string[] = [];
  for (const pattern of patterns) {
    all.push(...subjectsOf(pattern));
    if (all.length > FILTERS_MAX * 10) break;
  }
  const subjects = all.length > FILTERS_MAX * 10 ? all : withoutCovered(all);
  const full = (subject: string) => prefix + subject;
  if (subjects.length === 1 || (several && subjects.length <= FILTERS_MAX)) {
    const isCoarse = patterns.some((pattern) => /(?:^|\.)#\./.test(pattern));
    return { subjects: subjects.map(full), isCoarse };
  }
  return { subjects: [full(commonCover(patterns.flatMap(coverOf)))], isCoarse: true };
}

/** Without those that another one covers: the server refuses them. */
export function withoutCovered(subjects: readonly string[]): string[] {
  const distinct = [...new Set(subjects)];
  return distinct.filter((one) => !distinct.some((other) => other !== one && covers(other, one)));
}

/** Whether each subject that matches `narrow` matches `wide`. */
function covers(wide: string, narrow: string): boolean {
  const [wides, narrows] = [wide.split('.'), narrow.split('.')];
  for (const [at, word] of wides.entries()) {
    const other = narrows[at];
    if (word === '>') return other !== undefined;
    if (other === undefined || other === '>') return false;
    if (word !== '*' && word !== other) return false;
  }
  return wides.length === narrows.length;
}

/** One subject that covers the pattern. */
function coverOf(pattern: string): string[] {
  const segments = escapeWords(pattern).split('.');
  const gap = segments.indexOf('#');
  return [gap < 0 ? [...segments, END].join('.') : [...segments.slice(0, gap), '>'].join('.')];
}

/** The narrowest subject that covers them all. */
function commonCover(subjects: readonly string[]): string {
  let common = subjects[0]!.split('.');
  for (const subject of subjects.slice(1)) common = coverOfBoth(common, subject.split('.'));
  return common.join('.');
}

function coverOfBoth(one: readonly string[], other: readonly string[]): string[] {
  const joined: string[] = [];
  const shorter = Math.min(one.length, other.length);
  for (let at = 0; at < shorter; at++) {
    const [word, same] = [one[at]!, other[at]!];
    // `>` stands for one word at least, so it takes the place of the last that both have.
    const isLast = at === shorter - 1 && one.length !== other.length;
    if (word === '>' || same === '>' || isLast) return [...joined, '>'];
    joined.push(word === same ? word : '*');
  }
  return joined;
}
