import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Backend } from '../../src/backend.js';
import { createMaster, type Master } from '../../src/index.js';
import { eventually } from '../eventually.js';
import { folded, type Folded } from './folding.js';
import { SchedulerCrew } from './scheduler-crew.js';

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

export interface SchedulerSoakResult {
  /** Of a run without faults. */
  readonly expected: Folded;
  readonly first: Folded;
  readonly second: Folded;
  /** What the plain consumer got at all, more than once, and more than once without a flag. */
  readonly heard: number;
  readonly repeats: number;
  readonly unflagged: readonly string[];
  /** Emissions that a successor has sent though the broker may have had them. */
  readonly sentAgain: number;
  readonly kills: number;
  /** Of these, by their own hand at a step of a save or of an emission. */
  readonly atSteps: number;
  /** Masters that have ended otherwise, and how. */
  readonly crashes: readonly string[];
}

/**
 * Masters that run two schedulers and a plain consumer are killed at random, and at random steps, while messages come; in
 * the end both schedulers tell their state, and all masters what the consumer got.
 */
export async function soakSchedulers(options: SchedulerSoakOptions): Promise<SchedulerSoakResult> {
  const { broker, namespace, ownerTimeoutMs, messages, kills, pauseMs, random } = options;
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-testimony-'));
  const crew = new SchedulerCrew({ broker, namespace, ownerTimeoutMs, folder, random });
  const master = await createMaster({
    ...{ name: 'witness', broker: options.witness ?? broker, namespace, ownerTimeoutMs },
  });
  try {
    await crew.start();
    await Promise.all(Array.from({ length: options.masters - 1 }, () => crew.start()));
    const killing = async () => {
      while (crew.killed < kills) {
        await wait(pauseMs.min + random(pauseMs.max - pauseMs.min));
        crew.killOne();
        await eventually('a master starts', () => crew.size > 0, 60_000);
      }
    };
    await Promise.all([killing(), publishNumbers(master, options)]);
    // From now on nobody dies: those that still were to do so by their own hand go now.
    await crew.renew(options.masters);

    const told: Record<string, Folded> = {};
    await master.subscribe('told.*', ({ words, data }) => void (told[words[1]!] = data as Folded));
    await eventually(
      'both schedulers have folded everything',
      async () => {
        await master.publish('ask', {});
        await wait(200);
        return told['first']?.count === messages && (told['second']?.count ?? 0) >= messages;
      },
      60_000,
      // What they have folded is the result, whatever it is.
    ).catch(() => {});
    await eventually('nobody waits', async () => (await master.queues()).every(({ depth }) => depth === 0));
    const { heard, repeats, unflagged, sentAgain } = crew.testimony();
    const { killed, atSteps, crashes } = crew;
    await crew.end();
    for (const queue of ['first', 'second', 'plain']) await master.deleteQueue(queue, { whileInUse: true });
    const missing = { count: -1, hash: 0 };
    return {
      expected: folded(Array.from({ length: messages }, (_, index) => index + 1)),
      ...{ first: told['first'] ?? missing, second: told['second'] ?? missing },
      ...{ heard, repeats, unflagged, sentAgain, kills: killed, atSteps, crashes },
    };
  } finally {
    await crew.end();
    await master.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function publishNumbers(
  master: Master,
  { messages, perSecond }: Pick<SchedulerSoakOptions, 'messages' | 'perSecond'>,
): Promise<void> {
  const begun = performance.now();
  const inFlight: Promise<unknown>[] = [];
  for (let sequence = 1; sequence <= messages; sequence++) {
    inFlight.push(master.publish('numbers', { sequence }));
    const aheadMs = (sequence * 1_000) / perSecond - (performance.now() - begun);
    if (aheadMs > 5) await wait(aheadMs);
  }
  await Promise.all(inFlight);
}
