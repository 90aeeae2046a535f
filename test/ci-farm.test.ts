import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { createMaster } from 'signalbox';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Failovers } from '../examples/ci-farm/failovers.js';
import { openRepository, readCommits, type Commit } from '../examples/ci-farm/history.js';
import { findLeftBehind } from '../examples/ci-farm/left-behind.js';
import { parseOptions, splitCommand } from '../examples/ci-farm/options.js';
import { pieces } from '../examples/ci-farm/pieces.js';
import { Processes } from '../examples/ci-farm/processes.js';
import type { HandledRecord } from '../src/testing/ledger.js';

const main = join(import.meta.dirname, '../dist/examples/ci-farm/main.js');
const folder = mkdtempSync(join(tmpdir(), 'ci-farm-'));
const environment = {
  ...process.env,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CEILING_DIRECTORIES: tmpdir(),
  GIT_AUTHOR_NAME: 'Ann "the\\quote" O\'Hara',
  GIT_AUTHOR_EMAIL: 'ann@example.org',
  GIT_AUTHOR_DATE: '2014-05-06T07:08:09+02:00',
  GIT_COMMITTER_NAME: 'Bob',
  GIT_COMMITTER_EMAIL: 'bob@example.org',
};
const HOSTILE = [
  '-rf',
  'a file with spaces',
  'line\nfeed',
  '\n',
  'naïve 中.txt',
  '"quoted"',
  '{commit}',
  '#.*',
];

const git = (repository: string, ...words: string[]) =>
  execFileSync('git', ['-C', join(folder, repository), ...words], { env: environment, encoding: 'utf8' });

function makeRepository(name: string): string {
  mkdirSync(join(folder, name));
  git(name, 'init', '--quiet', '--initial-branch=main');
  return join(folder, name);
}

let repository: string;

beforeAll(() => {
  repository = makeRepository('hostile');
  git('hostile', 'commit', '--quiet', '--allow-empty', '--message', 'nothing in it');
  for (const name of HOSTILE) writeFileSync(join(repository, name), name);
  git('hostile', 'add', '--all');
  git('hostile', 'commit', '--quiet', '--message', 'hostile \u001b[31m names\n\nand a body\n');
  git('hostile', 'checkout', '--quiet', '-b', 'side', 'HEAD~1');
  git('hostile', 'commit', '--quiet', '--allow-empty', '--allow-empty-message', '--message', '');
  git('hostile', 'checkout', '--quiet', 'main');
  git('hostile', 'merge', '--quiet', '--no-edit', 'side');
  makeRepository('empty');
  mkdirSync(join(folder, 'no repository'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function farm(...words: string[]) {
  const child = spawn(process.execPath, [main, ...words], { env: environment });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const ended = new Promise<Ended>((resolve) => child.on('close', (status) => resolve({ status, ...said })));
  return { child, said, ended };
}

const FAULTLESS = { redelivered: 0, lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };
const stopped = { cause: 'stopped', ms: expect.any(Number) as number };

describe('the CI farm', () => {
  it('loses nothing when the owner of the scheduler stops and another master joins', async () => {
    const { status, stdout, stderr } = await farm('--json', '--repo', repository, '--commits', '50').ended;
    expect(JSON.parse(stdout)).toEqual({ published: 100, handled: 100, ...FAULTLESS, failovers: [stopped] });
    expect(stdout).toMatch(/^\{[^\n]*\}\n$/);
    expect(stderr).toContain('build-1, which owns scheduler.all, stops');
    expect(stderr).toContain('build-4 joins');
    expect(stderr).toContain('Nothing lost');
    expect(stderr).not.toContain('\x1b');
    expect(status).toBe(0);
  });

  it.each([
    ['1', '1'],
    ['1', '3'],
    ['2', '1'],
    ['3', '2'],
  ])('does so with %s commits and %s masters too', async (commits, masters) => {
    const words = ['--json', '--repo', repository, '--commits', commits, '--masters', masters];
    const { status, stdout } = await farm(...words).ended;
    const messages = 2 * Number(commits);
    expect(JSON.parse(stdout)).toEqual({
      ...{ published: messages, handled: messages, ...FAULTLESS },
      failovers: [stopped],
    });
    expect(status).toBe(0);
  });

  it('shows a ledger to people', async () => {
    const words = ['--repo', repository, '--commits', '20', '--no-faults'];
    const { status, stdout, stderr } = await farm(...words).ended;
    expect(stdout).toMatch(/^scheduler\.all +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^builders\.linux +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^left behind +0$/m);
    expect(stdout).not.toContain('Failover');
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('takes a command that fails for a finished build, and lets it say what it likes', async () => {
    const command = `sh -c 'printf "no end of line \\377"; echo "$0" >&2; exit 3' {commit}`;
    const words = ['--json', '--repo', repository, '--commits', '15', '--command', command];
    const { status, stdout, stderr } = await farm(...words).ended;
    expect(JSON.parse(stdout)).toMatchObject({ published: 30, handled: 30, ...FAULTLESS });
    expect(stderr).toContain('30 log lines');
    expect(status).toBe(0);
  });

  it('stops properly when it is interrupted, and takes its builds along', async () => {
    const pids = join(folder, 'pids');
    const command = `sh -c 'echo $$ >> ${pids}; sleep 300 & wait'`;
    const { child, said, ended } = farm('--json', '--repo', repository, '--command', command);
    await vi.waitFor(() => expect(existsSync(pids)).toBe(true), { timeout: 20_000 });
    child.kill('SIGINT');
    expect((await ended).status).toBe(130);
    expect(said.stdout).toBe('');
    expect(said.stderr).toContain('Stopped before the end.');
    for (const pid of readFileSync(pids, 'utf8').trim().split('\n'))
      expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH');
  });

  it('explains itself', async () => {
    const { status, stdout, stderr } = await farm('--help').ended;
    expect(stdout).toContain('Usage: npm start -- [options]');
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });
});

describe('the CI farm refuses, in one line and with exit status 2,', () => {
  it.each([
    ['what is no repository', ['--repo', 'no repository'], 'is not a git repository'],
    ['what is no folder', ['--repo', 'nowhere'], 'is no folder'],
    ['a repository without a commit', ['--repo', 'empty'], 'has no commits'],
    [
      'a command that does not exist',
      ['--repo', 'hostile', '--command', 'no-such-command --x'],
      'no-such-command',
    ],
    ['a file that is no program', ['--repo', 'hostile', '--command', './-rf'], './-rf'],
    ['a command without a program', ['--command', ' '], '--command names no program'],
    ['a command with half a quote', ['--command', `git 'show`], '--command has a quote without its end'],
    ['an unknown option', ['--comits', '3'], "Unknown option '--comits'"],
    ['a word too many', ['HEAD'], "Unexpected argument 'HEAD'"],
    ['no commits', ['--commits', '0'], '--commits must be a whole number from 1'],
    ['half a master', ['--masters', '0.5'], '--masters must be a whole number from 1'],
    ['a value that is missing', ['--ahead'], '--ahead'],
  ])('%s', async (_, words, text) => {
    const inFolder = words.map((word, index) => (words[index - 1] === '--repo' ? join(folder, word) : word));
    const { status, stdout, stderr } = await farm('--json', ...inFolder).ended;
    expect(stderr).toMatch(/^ci-farm: [^\n]*\n$/);
    expect(stderr).toContain(text);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });
});

describe('the history', () => {
  async function read(count: number): Promise<Commit[]> {
    const processes = new Processes();
    const commits: Commit[] = [];
    for await (const commit of readCommits(await openRepository(repository, processes), count, processes))
      commits.push(commit);
    expect(processes.running).toBe(0);
    return commits;
  }

  it('gives every commit as it is, the oldest first', async () => {
    const [nothing, side, hostile, merge] = await read(4);
    const ann = {
      author: 'Ann "the\\quote" O\'Hara',
      date: new Date('2014-05-06T05:08:09Z'),
      filesLeftOut: 0,
    };
    expect(nothing).toMatchObject({ ...ann, message: 'nothing in it', files: [] });
    expect([side, hostile].map((commit) => commit!.message).sort()).toEqual([
      '',
      'hostile \u001b[31m names\n\nand a body',
    ]);
    const withFiles = [side, hostile].find((commit) => commit!.message !== '')!;
    expect(withFiles).toMatchObject(ann);
    expect([...withFiles.files].sort()).toEqual([...HOSTILE].sort());
    expect(merge).toMatchObject({ hash: git('hostile', 'rev-parse', 'HEAD').trim(), files: [] });
  });

  it('begins again when it is shorter than asked for, and is cut when it is longer', async () => {
    const hashes = (await read(4)).map(({ hash }) => hash);
    expect((await read(10)).map(({ hash }) => hash)).toEqual([
      ...hashes,
      ...hashes,
      ...git('hostile', 'rev-list', '--reverse', '--max-count=2', 'HEAD').trim().split('\n'),
    ]);
  });

  it('leaves no process when nobody reads it to its end', async () => {
    const processes = new Processes();
    for await (const { hash } of readCommits(await openRepository(repository, processes), 1_000, processes)) {
      expect(hash).toMatch(/^[0-9a-f]{40}$/);
      break;
    }
    expect(processes.running).toBe(0);
  });
});

describe('what was left behind', () => {
  /** The timers of the test runner come and go: what Node does is not asked. */
  const anything = { get: () => Infinity } as unknown as ReadonlyMap<string, number>;
  const NOTHING = { masters: [], processes: new Processes(), before: anything };

  it('is nothing when all have stopped', async () => {
    const broker = 'memory:ci-farm-test-1';
    const master = await createMaster({ name: 'one', broker });
    await master.consume('queue', { bindings: ['#'] }, () => {});
    await master.stop();
    expect(await findLeftBehind({ ...NOTHING, broker, masters: [master] })).toEqual([]);
  });

  it('is a master, its consumers and what they hold', async () => {
    const broker = 'memory:ci-farm-test-2';
    const [one, two] = [
      await createMaster({ name: 'one', broker }),
      await createMaster({ name: 'two', broker }),
    ];
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    await one.consume('queue', { bindings: ['#'] }, () => held);
    await two.consume('queue', { bindings: ['#'] }, () => held);
    await one.publish('a', {});
    const found = await findLeftBehind({ ...NOTHING, broker, masters: [one, two] });
    release();
    await Promise.all([one.stop(), two.stop()]);
    expect(found).toEqual(
      expect.arrayContaining([
        'master one is ready',
        'the root actor of two still runs',
        '1 messages in queue',
        'queue is owned by one',
        'two stands by for queue',
        'queue has a consumer',
        'queue queue is still there',
      ]),
    );
  });

  it('is a timer and a process', async () => {
    const before = new Map<string, number>();
    const processes = new Processes();
    const run = await processes.start([process.execPath, '-e', 'setInterval(() => {}, 1000)'], folder);
    const timer = setTimeout(() => {}, 100_000);
    const found = await findLeftBehind({
      ...{ broker: 'memory:ci-farm-test-3', masters: [], processes, before },
    });
    clearTimeout(timer);
    processes.close();
    run.stdout.resume();
    run.stderr.resume();
    await run.ended;
    expect(found).toEqual(
      expect.arrayContaining(['1 child processes', 'a Timeout of Node', 'a ProcessWrap of Node']),
    );
    await expect(processes.start(['git'], folder)).rejects.toThrow('The farm stops');
  });
});

describe('the failovers', () => {
  let now = 0;
  const handled = (master: string, epoch: number): HandledRecord => ({
    ...{
      type: 'handled',
      queue: 'q',
      id: 'x-1',
      master,
      epoch,
      attempt: 1,
      redelivered: false,
      resent: false,
    },
  });

  it('last from the announcement to the first message handled by the successor', () => {
    const failovers = new Failovers('q', () => now);
    failovers.handled(handled('a', 1));
    now = 100;
    failovers.begins('stopped', 'a');
    now = 103;
    failovers.handled(handled('a', 1));
    failovers.handled({ ...handled('b', 9), queue: 'another' });
    now = 107.34;
    expect(failovers.handled(handled('b', 2))).toEqual({ cause: 'stopped', ms: 7.3, from: 'a', to: 'b' });
    expect(failovers.handled(handled('b', 2))).toBeUndefined();
    expect(failovers.handled(handled('a', 1))).toBeUndefined();
    expect(failovers.all).toHaveLength(1);
  });

  it('are measured from the last message of the former owner when nobody announced them', () => {
    const failovers = new Failovers('q', () => now);
    now = 10;
    failovers.handled(handled('a', 1));
    now = 15;
    expect(failovers.handled(handled('b', 2))).toEqual({ cause: 'unexpected', ms: 5, from: 'a', to: 'b' });
  });

  it('count also when the former owner had handled nothing', () => {
    const failovers = new Failovers('q', () => now);
    now = 1;
    failovers.begins('stopped', 'a');
    now = 4;
    expect(failovers.handled(handled('b', 2))).toEqual({ cause: 'stopped', ms: 3, from: 'a', to: 'b' });
  });
});

describe('the pieces of a stream', () => {
  it('are what stands between the separators, however the bytes come', async () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'é', '中', '\n', '') });
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.nat(5)), async (all, cuts) => {
        const bytes = Buffer.from(all);
        async function* chunks() {
          let from = 0;
          for (const cut of cuts) yield bytes.subarray(from, (from += cut));
          yield bytes.subarray(from);
        }
        const found: string[] = [];
        for await (const piece of pieces(chunks(), { separator: 10, maxBytes: 1_000 })) found.push(piece);
        const lines = all.split('\n');
        expect(found).toEqual(lines.at(-1) === '' ? lines.slice(0, -1) : lines);
      }),
    );
  });

  it('end where they are too long', async () => {
    const found: string[] = [];
    const stream = [Buffer.from('abc'), Buffer.from('def\nghij'), Buffer.from('kl\n'), Buffer.from('m')];
    async function* chunks() {
      yield* stream;
    }
    for await (const piece of pieces(chunks(), { separator: 10, maxBytes: 5 })) found.push(piece);
    expect(found).toEqual(['abcde', 'ghijk', 'm']);
  });
});

describe('the command', () => {
  it.each([
    ['git show --stat', ['git', 'show', '--stat']],
    [`  a  'b c'"d \\" $HOME"\\ e '' `, ['a', `b cd " $HOME e`, '']],
    [`'\\n' "\\n"`, ['\\n', '\\n']],
  ])('%s is split without a shell', (text, words) => {
    expect(splitCommand(text)).toEqual(words);
  });

  it('gets the commit where it asks for it, else at its end', () => {
    expect(parseOptions(['--command', 'x --at={commit} y'])?.command).toEqual(['x', '--at={commit}', 'y']);
    expect(parseOptions(['--command', 'x y'])?.command).toEqual(['x', 'y', '{commit}']);
  });
});
