import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { placesOf } from '../src/backends/file/runtime-folder.js';
import { identityOf } from '../src/folder/process-identity.js';
import { eventually } from './eventually.js';
import { Laboratory } from './lab/laboratory.js';
import { MARK } from './lab/processes.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 20_000 });

const QUEUE = 'work';
const built = join(import.meta.dirname, '../dist');
const clean = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };

/** How a hub comes to life, and that there is one. */
describe('file: a start', () => {
  let lab: Laboratory;

  beforeEach(() => {
    lab = new Laboratory();
  });
  afterEach(() => lab.close());

  const consume = { queue: QUEUE, bindings: ['t.#'] };
  const publish = { topic: 't.a', producer: 'p', queues: [QUEUE] };

  /** The name of the start lock is that of the socket. */
  const startLock = async (): Promise<string> => {
    mkdirSync(lab.places(), { recursive: true, mode: 0o700 });
    return join(lab.places(), basename((await placesOf(lab.folder)).startLock));
  };
  const lockHeldBy = async (holder: object): Promise<string> => {
    const lock = await startLock();
    writeFileSync(lock, JSON.stringify(holder));
    return lock;
  };

  it('by several masters at once makes one hub', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const programs = await Promise.all(names.map((name) => lab.program(name)));
    await Promise.all(programs.map((program) => program.call('create', lab.plan(program.name))));
    expect(lab.hubs()).toHaveLength(1);
    const [first] = programs;
    await Promise.all(programs.map((program) => program.call('consume', consume)));
    const hub = await lab.hub();
    // All of them notice at the same moment.
    await hub.kill();
    await lab.nextHub(hub);
    await first!.call('publish', { ...publish, count: 10 });
    await lab.settled();
    expect(lab.hubs()).toHaveLength(1);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('by a master that is killed meanwhile is taken over by the next', async () => {
    const [doomed, next] = await Promise.all([lab.program('doomed'), lab.program('next')]);
    const lock = await startLock();
    void doomed.call('create', lab.plan('doomed')).catch(() => {});
    await eventually('it has the start lock', () => existsSync(lock));
    await doomed.kill();
    await next.call('create', lab.plan('next'));
    await next.call('consume', consume);
    await next.call('publish', { ...publish, count: 10 });
    await lab.settled();
    expect(lab.hubs()).toHaveLength(1);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('passes over the lock of a process that has gone, and of one whose id is another’s now', async () => {
    const gone = spawn(process.execPath, ['-e', '']);
    const identity = identityOf(gone.pid!);
    await once(gone, 'exit');
    await lockHeldBy(identity);
    const master = await lab.master('one');
    await master.stop();
    await (await lab.hub()).end();
    await lockHeldBy({ ...identityOf(process.pid), startedAt: '1' });
    await lab.master('other');
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('waits for a frozen one, but not for ever, and is not disturbed when that one thaws', async () => {
    const [frozen, next] = await Promise.all([lab.program('frozen'), lab.program('next')]);
    const lock = await startLock();
    const starting = frozen.call('create', lab.plan('frozen'));
    await eventually('it has the start lock', () => existsSync(lock));
    frozen.freeze();
    // As if it had been so for long: the hub that it may have forked does not count, since nobody hears of it.
    const [former] = lab.hubs();
    if (former !== undefined) process.kill(former, 'SIGKILL');
    const creating = next.call('create', lab.plan('next'));
    const long = Date.now() / 1_000 - 11;
    utimesSync(lock, long, long);
    await creating;
    const hub = await lab.hub();
    frozen.thaw();
    await starting;
    expect(lab.hubs()).toEqual([hub.pid]);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('replaces the socket of a hub that was killed', async () => {
    const first = await lab.master('first');
    await first.kill();
    const hub = await lab.hub();
    await hub.kill();
    expect(existsSync(hub.record.socket)).toBe(true);
    await lab.master('second');
    expect((await lab.hub()).record.socket).toBe(hub.record.socket);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('finds the hub that masters with another temporary folder use', async () => {
    const [here, there] = await Promise.all([
      lab.master('here'),
      lab.master('there', { runtime: lab.runtime('run-there') }),
    ]);
    await eventually('one hub is left', () => lab.hubs().length === 1);
    await here.call('consume', consume);
    await there.call('publish', { ...publish, count: 10 });
    await lab.settled();
    const former = await lab.hub();
    await former.kill();
    await there.call('publish', { ...publish, producer: 'q', count: 10 });
    await lab.settled();
    await eventually('one hub is left', () => lab.hubs().length === 1);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('of another hub follows when the socket is taken away from a hub that lives', async () => {
    const one = await lab.master('one');
    await one.call('observe', { pattern: 'effects.#' });
    const former = await lab.hub();
    unlinkSync(former.record.socket);
    const other = await lab.master('other');
    await other.call('consume', { ...consume, effects: 'effects.work' });
    await eventually('one hub is left', () => lab.hubs().length === 1);
    await other.call('publish', { ...publish, count: 10 });
    await lab.settled();
    await eventually('the first master hears of it', () => lab.of('effect').length > 0);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('comes again after a hub has left its last master, and nothing was redelivered', async () => {
    const hubProgram = join(built, 'test/lab/early-leaving-hub.js');
    const one = await lab.master('one', { hubProgram });
    await one.call('consume', { ...consume, handlerMs: 10 });
    await one.call('publish', { ...publish, count: 5 });
    await one.call('stopConsumer', { queue: QUEUE });
    await one.call('publish', { ...publish, producer: 'q', count: 5 });
    const hub = await lab.hub();
    await one.stop();
    await hub.gone();
    expect(lab.hubs()).toEqual([]);
    expect(readdirSync(lab.places()).filter((name) => !name.endsWith('.log'))).toEqual([]);
    const other = await lab.master('other', { hubProgram });
    await other.call('consume', consume);
    await lab.settled();
    expect(await lab.verdict()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('in the foreground serves masters until it is told to end, and two namespaces apart', async () => {
    const cli = spawn(process.execPath, [join(built, 'src/cli.js'), 'hub', lab.folder], {
      env: { ...process.env, [MARK]: lab.root, XDG_RUNTIME_DIR: lab.runtime(), TMPDIR: lab.runtime() },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said = String((await once(cli.stdout, 'data'))[0]);
    expect(said).toContain(`runs as process ${cli.pid}`);
    const [one, same] = await Promise.all([
      lab.master('one', { namespace: 'first' }),
      lab.master('one', { namespace: 'second' }),
    ]);
    expect(lab.hubs()).toEqual([cli.pid]);
    await one.call('consume', consume);
    await same.call('consume', { ...consume, queue: 'elsewhere' });
    await one.call('publish', { ...publish, count: 10 });
    await same.call('publish', { ...publish, producer: 'q', count: 10, queues: ['elsewhere'] });
    await lab.settled();
    expect(lab.of('handled')).toHaveLength(20);
    await Promise.all([one.stop(), same.stop()]);
    const exit = once(cli, 'exit');
    cli.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
    expect(await lab.verdict()).toMatchObject(clean);
  });
});
