import type { Ledger, Verdict } from '../../src/testing/ledger.js';
import type { Failover } from './failovers.js';
import type { Paint } from './screen.js';

/** What the farm came to. */
export interface Outcome {
  readonly verdict: Verdict;
  readonly failovers: readonly Failover[];
  readonly ledger: Ledger;
  readonly leftBehind: readonly string[];
  readonly builds: number;
  readonly logLines: number;
  /** Log lines that a transient subscriber has seen. */
  readonly linesFollowed: number;
  readonly elapsedMs: number;
}

/** The last line of `--json`. */
export function toJson({ verdict, failovers }: Outcome): string {
  return JSON.stringify({ ...verdict, failovers: failovers.map(({ cause, ms }) => ({ cause, ms })) });
}

/** Every promise was kept. */
export function isClean({ verdict }: Outcome): boolean {
  const { lost, duplicated, reordered, twoOwners, leftBehind } = verdict;
  return lost + duplicated + reordered + twoOwners + leftBehind === 0;
}

const COLUMNS = ['owed', 'handled', 'redelivered', 'lost', 'duplicated', 'reordered', 'twoOwners'] as const;
const HEADINGS = { twoOwners: 'two owners' } as const;

export function summary(outcome: Outcome, paint: Paint): string {
  const { ledger, verdict, failovers, leftBehind, elapsedMs, builds, logLines, linesFollowed } = outcome;
  const headings = COLUMNS.map((column) => (column in HEADINGS ? HEADINGS.twoOwners : column));
  const name = (text: string) => text.padEnd(18);
  const rows = ledger.queues.map((queue) => {
    const row = ledger.queue(queue);
    const cells = COLUMNS.map((column, index) => {
      const text = String(row[column]).padStart(headings[index]!.length + 2);
      return index < 3 ? text : paint(row[column] === 0 ? 'green' : 'red', text);
    });
    return name(queue) + cells.join('');
  });
  const rate = Math.round(builds / (elapsedMs / 1_000));
  const lines = [
    '',
    paint('bold', name('Ledger') + headings.map((heading) => `  ${heading}`).join('')),
    ...rows,
    `${name('left behind')}${paint(verdict.leftBehind === 0 ? 'green' : 'red', String(verdict.leftBehind).padStart(6))}`,
    ...leftBehind.map((what) => paint('red', `  ${what}`)),
    ...ledger.evidence().map((what) => paint('red', `  ${what}`)),
    '',
    `${verdict.published} messages owed to durable queues were confirmed; ${builds} builds in ${(elapsedMs / 1_000).toFixed(1)} s (${rate}/s).`,
    `For whoever listens: ${builds * 2} build events and ${logLines} log lines; transient subscribers followed ${linesFollowed} lines.`,
    ...failovers.map(
      ({ cause, ms, from, to }) =>
        `Failover, ${cause}: ${from} -> ${to} in ${ms} ms, from the beginning of the stop until ${to} had handled its first change.`,
    ),
    isClean(outcome)
      ? paint('green', 'Nothing lost, duplicated, reordered, owned twice or left behind.')
      : paint('red', 'A promise was broken: see above.'),
  ];
  return lines.join('\n');
}
