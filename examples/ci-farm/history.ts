import { stat } from 'node:fs/promises';
import { UsageError } from './options.js';
import { pieces } from './pieces.js';
import { findProgram, type Processes } from './processes.js';

export interface Repository {
  readonly path: string;
  /** The commit whose history is read: it stays the same when somebody commits meanwhile. */
  readonly head: string;
  readonly branch: string;
}

export interface Commit {
  readonly hash: string;
  readonly author: string;
  readonly date: Date;
  readonly message: string;
  /** A merge has none. */
  readonly files: readonly string[];
  /** Of a commit with very many files, those that are not in the list. */
  readonly filesLeftOut: number;
}

const NEW_LINE = 10;
const NUL = 0;
/** Together they keep a commit well below the limit of a message. */
const TEXT_MAX_BYTES = 20_000;
const FILES_MAX_CHARACTERS = 100_000;

/** Refuses, with a sentence for the user, what is no git repository or has no commit. */
export async function openRepository(path: string, processes: Processes): Promise<Repository> {
  const folder = await stat(path).catch(() => undefined);
  if (!folder?.isDirectory()) throw new UsageError(`${path} is no folder.`);
  if (!findProgram('git', path)) throw new UsageError('git was not found on the PATH.');
  const isRepository = await ask(['rev-parse', '--git-dir'], path, processes);
  if (isRepository.exitCode !== 0)
    throw new UsageError(`${path} is not a git repository (${isRepository.answer}).`);
  const head = await ask(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}'], path, processes);
  if (head.exitCode !== 0) throw new UsageError(`The git repository ${path} has no commits.`);
  // Where none is checked out, it is HEAD.
  const { answer: branch } = await ask(['rev-parse', '--abbrev-ref', 'HEAD'], path, processes);
  return { path, head: head.answer, branch };
}

/** So many commits, the newest of the history with the oldest first; a shorter history is read again and again. */
export async function* readCommits(
  repository: Repository,
  count: number,
  processes: Processes,
): AsyncGenerator<Commit> {
  for (let left = count; left > 0;)
    for await (const commit of readOnce(repository, left, processes)) {
      yield commit;
      left--;
    }
}

async function* readOnce(
  { path, head }: Repository,
  count: number,
  processes: Processes,
): AsyncGenerator<Commit> {
  const run = await processes.start(
    [
      ...['git', '-c', 'log.showSignature=false', '-c', 'log.showRoot=true', 'log', '--reverse', '-z'],
      ...['--name-only', '--no-renames', '--no-relative', '--no-color', '--no-ext-diff', '--encoding=UTF-8'],
      // Each commit is its fields, the names, and one empty field; names are never empty.
      ...['--format=format:%H%x00%an%x00%at%x00%B%x00', `--max-count=${count}`, head, '--'],
    ],
    path,
  );
  const complaint = firstLine(run.stderr);
  try {
    let fields: string[] = [];
    let read = 0;
    for await (const field of pieces(run.stdout, { separator: NUL, maxBytes: TEXT_MAX_BYTES })) {
      if (fields.length < 4 || field !== '') {
        fields.push(field);
        continue;
      }
      yield toCommit(fields);
      read++;
      fields = [];
    }
    if (fields.length >= 4) {
      yield toCommit(fields);
      read++;
    }
    const { exitCode, signal } = await run.ended;
    if (exitCode !== 0 || read === 0)
      throw new Error(`git log failed (${signal ?? exitCode}): ${await complaint}`);
  } finally {
    run.kill();
    await run.ended;
  }
}

function toCommit([hash, author, seconds, message, ...names]: readonly string[]): Commit {
  if (!/^[0-9a-f]{40,64}$/.test(hash!)) throw new Error('git log said something that is no commit.');
  const files: string[] = [];
  let room = FILES_MAX_CHARACTERS;
  for (const [index, name] of names.entries()) {
    // A line feed of git's own stands before the first.
    const file = index === 0 ? name.slice(1) : name;
    room -= file.length;
    if (room < 0) break;
    files.push(file);
  }
  return {
    hash: hash!,
    author: author!,
    date: toDate(Number(seconds)),
    message: message!.trimEnd(),
    files,
    filesLeftOut: names.length - files.length,
  };
}

/** A commit may claim any time; one that no Date can hold becomes 1970. */
function toDate(seconds: number): Date {
  const date = new Date(seconds * 1_000);
  return Number.isNaN(date.getTime()) ? new Date(0) : date;
}

async function ask(
  words: readonly string[],
  path: string,
  processes: Processes,
): Promise<{ exitCode: number | undefined; answer: string }> {
  const run = await processes.start(['git', ...words], path);
  const [said, complaint, { exitCode }] = await Promise.all([
    firstLine(run.stdout),
    firstLine(run.stderr),
    run.ended,
  ]);
  return { exitCode, answer: said || complaint };
}

/** Reads all of it. */
async function firstLine(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let first: string | undefined;
  try {
    for await (const line of pieces(stream, { separator: NEW_LINE, maxBytes: 1_000 })) first ??= line;
  } catch {
    // Its process was ended meanwhile.
  }
  return first ?? '';
}
