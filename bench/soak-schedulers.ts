import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { soakSchedulers } from '../test/lab/scheduler-soak.js';
import { result, type Result } from './result.js';

const KILLS = 200;
const MESSAGES = 20_000;
const PAUSE_MS = { min: 50, max: 900 };

/**
 * Masters that run two schedulers, of which the second folds what the first emits, and a plain consumer of that, are killed
 * while messages come: at random, and by their own hand at steps of a save or an emission.
 * `--kills N` for fewer, `--seed N` to choose the same again, `--broker URL` for another broker than a folder of its own.
 */
export async function run(): Promise<Result[]> {
  const { values } = parseArgs({
    strict: false,
    options: { kills: { type: 'string' }, seed: { type: 'string' }, broker: { type: 'string' } },
  });
  const kills = Number(values['kills'] ?? KILLS);
  const seed = Number(values['seed'] ?? Date.now() % 1_000_000);
  console.log(`  seed ${seed}`);
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-soak-'));
  const broker = typeof values['broker'] === 'string' ? values['broker'] : `file:${folder}`;
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  try {
    const seconds = (kills * (PAUSE_MS.min + PAUSE_MS.max)) / 2_000;
    const found = await soakSchedulers({
      ...{ broker, kills, random, namespace: `soak-${seed}`, masters: 3, pauseMs: PAUSE_MS },
      ownerTimeoutMs: broker.startsWith('amqp') ? 10_000 : 3_000,
      ...{ messages: MESSAGES, perSecond: Math.ceil(MESSAGES / seconds) },
    });
    const { expected, first, second } = found;
    console.log(
      `  without faults ${JSON.stringify(expected)}, first ${JSON.stringify(first)}, second ${JSON.stringify(second)}`,
    );
    const differs = ({ count, hash }: typeof first) =>
      Number(count !== expected.count || hash !== expected.hash);
    return [
      result('masters killed', found.kills, '', { atLeast: kills }),
      result(
        'schedulers that end in another state than without faults',
        differs(first) + differs(second),
        '',
        {
          atMost: 0,
        },
      ),
      result('of these at a step of a save or an emission', found.atSteps, ''),
      result('masters that ended otherwise', found.crashes.length, '', { atMost: 0 }),
      result('emissions that a plain consumer never got', MESSAGES - found.heard, '', { atMost: 0 }),
      result('emissions that a successor sent again', found.sentAgain, '', { atLeast: 1 }),
      result('emissions that a plain consumer got again', found.repeats, '', { atLeast: 1 }),
      result('of these without a flag', found.unflagged.length, '', { atMost: 0 }),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
