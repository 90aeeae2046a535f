import { parseArgs } from 'node:util';

export const HELP = `Usage: npm start -- [options]

A small CI farm: build masters, each in a process of its own, share the commits of a git repository through signalbox. Part
way the owner of the first scheduler is killed, its successor frozen and thawed, one stopped, one joins, and the broker itself is
killed; at the end a ledger says whether anything was lost. The changes come from one more master, the front, which also
follows some of the logs and is witness to what the schedulers do.

  --repo PATH       the git repository that is built (default: the one that this clone is)
  --broker URL      what the masters share (default: file: in a temporary folder); a namespace of its own keeps it apart
                    from other programs there. With memory: all masters are in one process, one stops and one joins
  --commits N       how many changes; a shorter history is repeated (default 300)
  --masters N       how many build masters at the start (default 3)
  --command 'CMD'   what a build runs in the repository, with the commit in the place of {commit} or at the end
                    (default 'git show --stat'); split at spaces, quotes are understood, no shell is involved
  --ahead N         at most so many changes wait for their build (default 30)
  --no-faults       nothing happens to anybody
  --json            the last line on stdout is one JSON object; the rest goes to stderr
  --help            this text

Exit status: 0 if nothing was lost, duplicated, reordered, owned twice or left behind, else 1; 2 for a bad option, no git
repository or no such command. Ctrl-C stops properly, without a ledger: 130.
`;

export interface Options {
  /** Undefined: the repository that this clone is. */
  readonly repository: string | undefined;
  /** Undefined: a hub in a temporary folder. */
  readonly broker: string | undefined;
  readonly commits: number;
  readonly masters: number;
  /** The program and its arguments; `{commit}` stands for the commit. */
  readonly command: readonly string[];
  readonly ahead: number;
  readonly faults: boolean;
  readonly json: boolean;
}

/** What the user can mend: one line on stderr and exit status 2. */
export class UsageError extends Error {}

/** Undefined: help is asked for. */
export function parseOptions(words: readonly string[]): Options | undefined {
  const values = parse(words);
  if (values.help) return undefined;
  return {
    repository: values.repo,
    broker: values.broker,
    commits: count('--commits', values.commits, 1_000_000),
    masters: count('--masters', values.masters, 100),
    command: withCommit(splitCommand(values.command)),
    ahead: count('--ahead', values.ahead, 1_000_000),
    faults: !values['no-faults'],
    json: values.json,
  };
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        repo: { type: 'string' },
        broker: { type: 'string' },
        commits: { type: 'string', default: '300' },
        masters: { type: 'string', default: '3' },
        command: { type: 'string', default: 'git show --stat' },
        ahead: { type: 'string', default: '30' },
        'no-faults': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    // Node adds advice of its own after the first sentence.
    const [what] = (error as Error).message.split(/\.\s|\n/);
    throw new UsageError(`${what}. --help lists the options.`);
  }
}

function count(option: string, text: string, max: number): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= max) return value;
  throw new UsageError(`${option} must be a whole number from 1 to ${max}, not ${JSON.stringify(text)}.`);
}

/** Splits at white space as a shell does, with its quotes and backslashes, and does nothing else of a shell. */
export function splitCommand(text: string): string[] {
  const words: string[] = [];
  const piece = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)/gsy;
  let word: string | undefined;
  while (piece.lastIndex < text.length) {
    const [, single, double, escaped, plain] = piece.exec(text) ?? [];
    if (piece.lastIndex === 0)
      throw new UsageError(`--command has a quote without its end, or ends with a backslash: ${text}`);
    const found = single ?? double?.replace(/\\(["\\])/g, '$1') ?? escaped ?? plain;
    if (found !== undefined) word = (word ?? '') + found;
    else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  if (!words[0]) throw new UsageError('--command names no program.');
  return words;
}

function withCommit(words: string[]): string[] {
  return words.some((word) => word.includes('{commit}')) ? words : [...words, '{commit}'];
}
