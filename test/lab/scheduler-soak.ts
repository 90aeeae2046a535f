import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Backend } from '../../src/backend.js';
import { createMaster } from '../../src/index.js';
import { eventually } from '../eventually.js';
import { fold } from './folding.js';

/** Tests run from the sources, programs from what was built of them. */
const built = import.meta.dirname.replace(/(\/dist)?\/test\/lab$/, '/dist');
const PROGRAM = join(built, 'test/lab/scheduler-program.js');

export interface SchedulerSoakOptions {
  readonly broker: string;
  /** As the process of the test has it: its own sources start no hub. */
  readonly witness?: Backend;
  readonly namespace: string;
  readonly ownerTimeoutMs: number;
  readonly masters: number;
  readonly messages: number;
  readonly perSecond: number;
  readonly kills: number;
  readonly pauseMs: { readonly min: number; readonly max: number };
  /** A whole number below that. */
  readonly random: (below: number) => number;
}

interface State {
  readonly count: number;
  readonly hash: number;
}

export interface SchedulerSoakResult {
  /** Of a run without faults. */
  readonly expected: State;
  readonly first: State;
  readonly second: State;
  /** What the plain consumer got more than once, and of that without a flag. */
  readonly repeats: number;
  readonly unflagged: readonly string[];
  readonly kills: number;
}

/** Masters that run two schedulers are killed at random while messages come; in the end both tell their state. */
export async function soakSchedulers(options: SchedulerSoakOptions): Promise<SchedulerSoakResult> {
  const { broker, namespace, ownerTimeoutMs, messages, perSecond, kills, pauseMs, random } = options;
  const master = await createMaster({
    ...{ name: 'witness', broker: options.witness ?? broker, namespace, ownerTimeoutMs },
  });
  const children = new Set<ChildProcess>();
  let names = 0;
  const start = async () => {
    const args = [broker, namespace, `scheduling-${++names}`, String(ownerTimeoutMs)];
    const child = fork(PROGRAM, args, { execArgv: [] });
    children.add(child);
    child.once('exit', () => children.delete(child));
    await new Promise((resolve) => {
      child.once('message', resolve);
      child.once('exit', resolve);
    });
  };
  try {
    const seen = new Map<string, number>();
    const unflagged: string[] = [];
    await master.consume('plain', { bindings: ['steps'] }, ({ id }, { redelivered }) => {
      const times = seen.get(id) ?? 0;
      seen.set(id, times + 1);
      if (times > 0 && !redelivered) unflagged.push(id);
    });
    await start();
    await Promise.all(Array.from({ length: options.masters - 1 }, start));

    const expected = { count: 0, hash: 0 };
    let killed = 0;
    const killing = async () => {
      for (; killed < kills; killed++) {
        await wait(pauseMs.min + random(pauseMs.max - pauseMs.min));
        const alive = [...children];
        alive[random(alive.length)]?.kill('SIGKILL');
        // Not waited for: the next one may be killed while this one starts.
        void start();
        while (children.size === 0) await wait(5);
      }
    };
    const publishing = async () => {
      const begun = performance.now();
      const inFlight: Promise<unknown>[] = [];
      for (let n = 1; n <= messages; n++) {
        inFlight.push(master.publish('numbers', { n }));
        expected.count++;
        expected.hash = fold(expected.hash, n);
        const aheadMs = (n * 1_000) / perSecond - (performance.now() - begun);
        if (aheadMs > 5) await wait(aheadMs);
      }
      await Promise.all(inFlight);
    };
    await Promise.all([killing(), publishing()]);

    const told: Record<string, State> = {};
    await master.subscribe('told.*', ({ words, data }) => void (told[words[1]!] = data as State));
    await eventually(
      'both schedulers have folded everything',
      async () => {
        await master.publish('ask', {});
        await wait(200);
        return told['first']?.count === messages && (told['second']?.count ?? 0) >= messages;
      },
      60_000,
    ).catch(() => {});
    const missing = { count: -1, hash: 0 };
    const repeats = [...seen.values()].filter((times) => times > 1).length;
    const { first = missing, second = missing } = told;
    return { expected, first, second, repeats, unflagged, kills: killed };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    while (children.size > 0) await wait(5);
    await master.stop();
  }
}
