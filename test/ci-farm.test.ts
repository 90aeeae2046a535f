import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { createMaster } from 'signalbox';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Failovers } from '../examples/ci-farm/failovers.js';
import { openRepository, readCommits, type Commit } from '../examples/ci-farm/history.js';
import { leftBehindOf } from '../examples/ci-farm/crew-here.js';
import { EvidenceReader, EvidenceWriter, monotonicMs } from '../examples/ci-farm/evidence.js';
import { cleanBroker, newResources } from '../examples/ci-farm/left-behind.js';
import { parseOptions, splitCommand } from '../examples/ci-farm/options.js';
import { pieces } from '../examples/ci-farm/pieces.js';
import { Processes } from '../examples/ci-farm/processes.js';
import { livingHub } from '../src/backends/file/hub-record.js';
import { eventually } from './eventually.js';

const main = join(import.meta.dirname, '../dist/examples/ci-farm/main.js');
const folder = mkdtempSync(join(tmpdir(), 'ci-farm-test-'));
const environment = {
  ...process.env,
  TMPDIR: join(folder, 'temporary'),
  // A socket's path is short.
  XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR'] ?? tmpdir(),
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
  mkdirSync(environment.TMPDIR);
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
/** All masters in one process. */
const HERE = ['--broker', 'memory:'];

interface Result {
  readonly published: number;
  readonly handled: number;
  readonly redelivered: number;
  readonly failovers: readonly { readonly cause: string; readonly ms: number }[];
}

/** What the farm has measured; a busy machine may add a failover that nobody has caused. */
function causes({ failovers }: Result): string[] {
  return failovers.map(({ cause }) => cause).filter((cause) => cause !== 'unexpected');
}

function isAlive(pid: string): boolean {
  try {
    process.kill(Number(pid), 0);
  } catch {
    return false;
  }
  return true;
}

/** What stands in the temporary folder of the farms. */
function remains(): string[] {
  return readdirSync(environment.TMPDIR);
}

describe('the CI farm in processes', { timeout: 120_000 }, () => {
  it('loses nothing when masters are killed, frozen and stopped, one joins, and the hub is killed', async () => {
    const { status, stdout, stderr } = await farm('--json', '--repo', repository, '--commits', '60').ended;
    const result = JSON.parse(stdout) as Result;
    expect(result).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 });
    // Each change, and each build that succeeded; one that is built again succeeds again.
    expect(result.published).toBeGreaterThanOrEqual(120);
    // By two schedulers and by its builder, and each success by a third one.
    expect(result.handled).toBeGreaterThanOrEqual(240);
    expect(result.redelivered).toBeGreaterThan(0);
    expect(causes(result)).toEqual(['killed', 'frozen', 'stopped', 'hub-killed']);
    expect(stdout).toMatch(/^\{[^\n]*\}\n$/);
    expect(stderr).toContain('is thawed (SIGCONT)');
    expect(stderr).toContain('build-4 joins');
    expect(stderr).toContain('Nothing lost');
    expect(status).toBe(0);
    expect(remains()).toEqual([]);
  });

  it('lets another master join before the last one is harmed', async () => {
    const words = ['--json', '--repo', repository, '--commits', '3', '--masters', '1', '--ahead', '1'];
    const { status, stdout } = await farm(...words).ended;
    const result = JSON.parse(stdout) as Result;
    expect(result).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 });
    expect(causes(result)).toEqual(['killed', 'frozen']);
    expect(status).toBe(0);
  });

  it('uses a folder that it is given, and leaves it as a folder of signalbox', async () => {
    const state = join(folder, 'state');
    const words = ['--repo', repository, '--commits', '20', '--no-faults', '--broker', `file:${state}`];
    const { status, stdout, stderr } = await farm(...words).ended;
    expect(stdout).toMatch(/^scheduler\.tree +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^scheduler\.linux +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^scheduler\.good +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^builders\.linux +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^left behind +0$/m);
    expect(stdout).not.toContain('Failover');
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const hub = await livingHub(state);
    expect(hub).toBeDefined();
    process.kill(hub!.pid, 'SIGTERM');
    await eventually('the hub has gone', async () => !(await livingHub(state)));
    expect(remains()).toEqual([]);
  });

  it('ends the builds of a killed master, and all others when it is interrupted', async () => {
    const [marks, pids] = [join(folder, 'marks'), join(folder, 'pids-of-sleepers')];
    mkdirSync(marks);
    // The first build of each master sleeps.
    const command = `sh -c 'mkdir ${marks}/$PPID && echo $$ >> ${pids} && exec sleep 300; true'`;
    const { child, said, ended } = farm(
      '--json',
      '--repo',
      repository,
      '--commits',
      '60',
      '--command',
      command,
    );
    const seen = () => (existsSync(pids) ? readFileSync(pids, 'utf8').trim().split('\n') : []);
    await eventually('a build is over', () => seen().some((pid) => !isAlive(pid)), 30_000);
    expect(said.stderr).toContain('is killed (SIGKILL)');
    child.kill('SIGINT');
    expect((await ended).status).toBe(130);
    expect(said.stdout).toBe('');
    expect(said.stderr).toContain('Stopped before the end.');
    expect(seen().filter(isAlive)).toEqual([]);
    expect(remains()).toEqual([]);
  });

  it('leaves nothing when it is interrupted while a master is frozen', async () => {
    const { child, said, ended } = farm('--json', '--repo', repository, '--commits', '60');
    await eventually('a master is frozen', () => said.stderr.includes('is frozen'), 30_000);
    child.kill('SIGTERM');
    expect((await ended).status).toBe(143);
    expect(said.stderr).not.toContain('did not end by itself');
    expect(remains()).toEqual([]);
  });
});

describe('the CI farm in one process', () => {
  it('loses nothing when the owner of the scheduler stops and another master joins', async () => {
    const { status, stdout, stderr } = await farm(...HERE, '--json', '--repo', repository, '--commits', '50')
      .ended;
    expect(JSON.parse(stdout)).toEqual({ published: 100, handled: 200, ...FAULTLESS, failovers: [stopped] });
    expect(stdout).toMatch(/^\{[^\n]*\}\n$/);
    expect(stderr).toContain('build-1, which owns scheduler.tree, stops');
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
    const words = [...HERE, '--json', '--repo', repository, '--commits', commits, '--masters', masters];
    const { status, stdout } = await farm(...words).ended;
    const published = 2 * Number(commits);
    expect(JSON.parse(stdout)).toEqual({
      ...{ published, handled: 2 * published, ...FAULTLESS },
      failovers: [stopped],
    });
    expect(status).toBe(0);
  });

  it('shows a ledger to people', async () => {
    const words = [...HERE, '--repo', repository, '--commits', '20', '--no-faults'];
    const { status, stdout, stderr } = await farm(...words).ended;
    expect(stdout).toMatch(/^scheduler\.tree +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^scheduler\.linux +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^scheduler\.good +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^builders\.linux +20 +20 +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^left behind +0$/m);
    expect(stdout).not.toContain('Failover');
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('takes a command that fails for a finished build, and lets it say what it likes', async () => {
    const command = `sh -c 'printf "no end of line \\377"; echo "$0" >&2; exit 3' {commit}`;
    const words = [...HERE, '--json', '--repo', repository, '--commits', '15', '--command', command];
    const { status, stdout, stderr } = await farm(...words).ended;
    expect(JSON.parse(stdout)).toMatchObject({ published: 15, handled: 45, ...FAULTLESS });
    expect(stderr).toContain('30 log lines');
    expect(status).toBe(0);
  });

  it('stops properly when it is interrupted, and takes its builds along', async () => {
    const pids = join(folder, 'pids');
    const command = `sh -c 'echo $$ >> ${pids}; sleep 300 & wait'`;
    const { child, said, ended } = farm(...HERE, '--json', '--repo', repository, '--command', command);
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
    [
      'a broker that is none',
      ['--repo', 'hostile', '--broker', 'carrier-pigeon:'],
      '"carrier-pigeon:" names no broker',
    ],
    [
      'a folder that is a file',
      ['--repo', 'hostile', '--broker', 'file:/dev/null'],
      '"/dev/null" cannot be a folder',
    ],
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
    const processes = new Processes('apart');
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
    const processes = new Processes('apart');
    for await (const { hash } of readCommits(await openRepository(repository, processes), 1_000, processes)) {
      expect(hash).toMatch(/^[0-9a-f]{40}$/);
      break;
    }
    expect(processes.running).toBe(0);
  });
});

describe('what was left behind', () => {
  it('is nothing when all have stopped', async () => {
    const broker = 'memory:ci-farm-test-1';
    const master = await createMaster({ name: 'one', broker });
    await master.consume('queue', { bindings: ['#'] }, () => {});
    await master.stop();
    expect(leftBehindOf(master)).toEqual([]);
    expect(await cleanBroker({ broker })).toEqual([]);
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
    const found = [...leftBehindOf(one), ...leftBehindOf(two), ...(await cleanBroker({ broker }))];
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
    const processes = new Processes('apart');
    const run = await processes.start([process.execPath, '-e', 'setInterval(() => {}, 1000)'], folder);
    const timer = setTimeout(() => {}, 100_000);
    const found = await newResources(before);
    clearTimeout(timer);
    processes.close();
    run.stdout.resume();
    run.stderr.resume();
    await run.ended;
    expect(found).toEqual(expect.arrayContaining(['a Timeout of Node', 'a ProcessWrap of Node']));
    await expect(processes.start(['git'], folder)).rejects.toThrow('The farm stops');
  });
});

describe('the failovers', () => {
  let now = 0;
  const applied = (master: string, epoch: number) => ({ queue: 'q', master, epoch });

  it('last from the announcement to the first message that the successor takes in', () => {
    const failovers = new Failovers('q', () => now);
    failovers.applied(applied('a', 1), 0);
    now = 100;
    failovers.begins('stopped', { master: 'a', epoch: 1 });
    failovers.applied(applied('a', 1), 103);
    failovers.applied({ ...applied('b', 9), queue: 'another' }, 104);
    expect(failovers.isUnderWay).toBe(true);
    expect(failovers.applied(applied('b', 2), 107.34)).toEqual({
      ...{ cause: 'stopped', ms: 7.3, from: 'a', to: 'b' },
    });
    expect(failovers.isUnderWay).toBe(false);
    expect(failovers.applied(applied('b', 2), 108)).toBeUndefined();
    expect(failovers.applied(applied('a', 1), 109)).toBeUndefined();
    expect(failovers.all).toHaveLength(1);
  });

  it('are measured from the last message of the former owner when nobody announced them', () => {
    const failovers = new Failovers('q', () => now);
    failovers.applied(applied('a', 1), 10);
    expect(failovers.applied(applied('b', 2), 15)).toEqual({
      cause: 'unexpected',
      ms: 5,
      from: 'a',
      to: 'b',
    });
  });

  it('count also when the former owner had taken in nothing', () => {
    const failovers = new Failovers('q', () => now);
    now = 1;
    failovers.begins('stopped', { master: 'a', epoch: 1 });
    expect(failovers.applied(applied('b', 2), 4)).toEqual({ cause: 'stopped', ms: 3, from: 'a', to: 'b' });
  });

  it('count also when the same master owns the queue again', () => {
    const failovers = new Failovers('q', () => now);
    failovers.applied(applied('a', 1), 1);
    now = 2;
    failovers.begins('hub-killed', { master: 'a', epoch: 1 });
    expect(failovers.applied(applied('a', 1), 3)).toBeUndefined();
    expect(failovers.applied(applied('a', 2), 5)).toEqual({ cause: 'hub-killed', ms: 3, from: 'a', to: 'a' });
  });
});

describe('the evidence', () => {
  const line = (text: string) => ({ type: 'trouble', master: 'a', text }) as const;

  it('is read while it is written, and each line once', () => {
    const path = join(folder, 'evidence');
    const read: [string, number][] = [];
    const reader = new EvidenceReader(path, (record, at) =>
      read.push([(record as { text: string }).text, at]),
    );
    const writer = new EvidenceWriter(path);
    const texts = ['a', 'naïve 中', 'x'.repeat(200_000), 'line\nfeed'];
    const before = monotonicMs();
    for (const text of texts) {
      writer.write(line(text));
      reader.read();
      reader.read();
    }
    expect(read.map(([text]) => text)).toEqual(texts);
    for (const [, at] of read) expect(at).toBeGreaterThanOrEqual(before);
    reader.close();
  });

  it('is whole up to the line that kill -9 has cut', () => {
    const path = join(folder, 'evidence that was cut');
    writeFileSync(path, `[1,${JSON.stringify(line('a'))}]\n[2,{"type":"tro`);
    const read: number[] = [];
    const reader = new EvidenceReader(path, (_, at) => read.push(at));
    reader.read();
    expect(read).toEqual([1]);
    reader.close();
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
