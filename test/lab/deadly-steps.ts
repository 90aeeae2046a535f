import { expect } from 'vitest';
import { eventually } from '../eventually.js';
import { STEPS, type DeadlyStep } from './fault-points.js';
import { folded } from './folding.js';
import type { LabMaster } from './lab-master.js';
import type { Laboratory } from './laboratory.js';

/** In a round: a busy master may save all of them at once. */
const MESSAGES = 20;
const ROUNDS_MAX = 40;
const PLAIN = 'plain';

/** Of the scheduler that publishes, and of the one that applies what is published. */
const DEADLY: readonly DeadlyStep[] = [
  // What is forgotten is so once, when nothing comes any more.
  ...STEPS.map((step) => ({ step, queue: 'first', passes: step.startsWith('forgetting') ? 0 : 2 })),
  ...STEPS.filter((step) => step.startsWith('save.')).map((step) => ({ step, queue: 'second', passes: 2 })),
];

/**
 * A master that runs two schedulers is killed at each step of a save and of an emission in turn, and each time another goes
 * on. A plain consumer begins anew in between, so that it remembers nothing: whatever comes again must say so by itself.
 */
export async function dieAtEachStep(lab: Laboratory): Promise<void> {
  const [publisher, witness] = await lab.masters('publisher', 'witness');
  const listen = () => witness!.call('consume', { queue: PLAIN, bindings: ['steps'] });
  await listen();
  let owner = await schedulingMaster(lab, 'owner-0');
  const sequences: number[] = [];
  const repeatsAt: Record<string, number> = {};
  for (const [index, deadly] of DEADLY.entries()) {
    const name = `${deadly.queue} at ${deadly.step}`;
    await owner.call('dieAt', deadly);
    for (let round = 1; owner.isAlive; round++) {
      expect([name, round <= ROUNDS_MAX]).toEqual([name, true]);
      const publishing = { topic: 'numbers', producer: `p-${index}-${round}`, queues: [] };
      await publisher!.call('publish', { ...publishing, count: MESSAGES, perSecond: 200 });
      sequences.push(...Array.from({ length: MESSAGES }, (_, at) => at + 1));
      // Long enough for a save of what is confirmed.
      await Promise.race([owner.ended, new Promise((resolve) => setTimeout(resolve, 300))]);
    }
    // What the broker has confirmed is handled and acked by one consumer, the copies come to the next.
    await eventually(`${name}: the plain consumer has handled all`, async () =>
      (await witness!.call('queues')).some(({ name: queue, depth }) => queue === PLAIN && depth === 0),
    );
    const before = repeats(lab);
    await witness!.call('stopConsumer', { queue: PLAIN });
    await listen();
    owner = await schedulingMaster(lab, `owner-${index + 1}`);
    await untilFolded(publisher!, sequences, name);
    repeatsAt[name] = repeats(lab) - before;
  }
  const emissions = lab.of('handled').filter(({ queue }) => queue === PLAIN);
  expect(new Set(emissions.map(({ id }) => id)).size).toBe(sequences.length);
  // The broker has it, and no save says so: the successor must send it again.
  expect(repeatsAt['first at emission.confirmed']).toBeGreaterThan(0);
  const seen = new Set<string>();
  for (const { id, redelivered } of emissions) {
    expect([id, redelivered || !seen.has(id)]).toEqual([id, true]);
    seen.add(id);
  }
}

async function schedulingMaster(lab: Laboratory, name: string): Promise<LabMaster> {
  const master = await lab.master(name, { hasFaultPoints: true });
  for (const queue of ['first', 'second'] as const) await master.call('schedule', { queue });
  return master;
}

/** Both are where a run without faults would be, and stay there. */
async function untilFolded(publisher: LabMaster, sequences: readonly number[], name: string): Promise<void> {
  const expected = folded(sequences);
  for (const queue of ['first', 'second'] as const) {
    await eventually(
      `${name}: ${queue} has folded all`,
      async () => (await publisher.call('folded', { queue })).count >= expected.count,
    );
    expect([name, queue, await publisher.call('folded', { queue })]).toEqual([name, queue, expected]);
  }
  await eventually(`${name}: nobody waits`, async () =>
    (await publisher.call('queues')).every(({ depth }) => depth === 0),
  );
}

/** How often the plain consumer has got something again. */
function repeats(lab: Laboratory): number {
  const emissions = lab.of('handled').filter(({ queue }) => queue === PLAIN);
  return emissions.length - new Set(emissions.map(({ id }) => id)).size;
}
