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

const COLUMNS = [
  ['owed', 'owed'],
  ['handled', 'handled'],
  ['redelivered', 'redelivered'],
  ['lost', 'lost'],
  ['duplicated', 'duplicated'],
  ['reordered', 'reordered'],
  ['two owners', 'twoOwners'],
] as const;
/** In these columns anything but 0 breaks a promise. */
const PROMISES = COLUMNS.slice(3).map(([heading]) => heading as string);

const MEASURED =
  'Measured from the signal or the call that ends an ownership (of an unexpected one: from its last change) until the ' +
  'next owner has taken in a change.';

export function summary(outcome: Outcome, paint: Paint): string {
  const { ledger, verdict, failovers, leftBehind, elapsedMs, builds, logLines, linesFollowed } = outcome;
  const name = (text: string) => text.padEnd(18);
  const rows = ledger.queues.map((queue) => {
    const row = ledger.queue(queue);
    const cells = COLUMNS.map(([heading, column]) => {
      const text = String(row[column]).padStart(heading.length + 2);
      return PROMISES.includes(heading) ? paint(row[column] === 0 ? 'green' : 'red', text) : text;
    });
    return name(queue) + cells.join('');
  });
  const rate = Math.round(builds / (elapsedMs / 1_000));
  const lines = [
    '',
    paint('bold', name('Ledger') + COLUMNS.map(([heading]) => `  ${heading}`).join('')),
    ...rows,
    `${name('left behind')}${paint(verdict.leftBehind === 0 ? 'green' : 'red', String(verdict.leftBehind).padStart(6))}`,
    ...leftBehind.map((what) => paint('red', `  ${what}`)),
    ...ledger.evidence().map((what) => paint('red', `  ${what}`)),
    '',
    `${verdict.published} messages owed to durable queues were confirmed; ${builds} builds in ${(elapsedMs / 1_000).toFixed(1)} s (${rate}/s).`,
    `For whoever listens: ${builds * 2} build events and ${logLines} log lines; transient subscribers followed ${linesFollowed} lines.`,
    ...failovers.map(({ cause, ms, from, to }) => `Failover (${cause}): ${from} -> ${to} in ${ms} ms.`),
    ...(failovers.length > 0 ? [MEASURED] : []),
    isClean(outcome)
      ? paint('green', 'Nothing lost, duplicated, reordered, owned twice or left behind.')
      : paint('red', 'A promise was broken: see above.'),
  ];
  return lines.join('\n');
}
