import { expect } from 'vitest';
import { eventually } from '../eventually.js';
import { machineNow } from './evidence.js';
import type { LabMaster } from './lab-master.js';
import type { Laboratory } from './laboratory.js';

/** It is set a little before the word of that is heard. */
const EARLY_MS = 500;
/** Much on a busy machine, and less than what is left when an alarm begins anew. */
const LATE_MS = 2_500;
const QUEUE = 'alarms';

/** Masters in processes of their own that stand for a scheduler with alarms, and one that hears them. */
export class OrphanedAlarms {
  readonly #lab: Laboratory;
  readonly #witness: LabMaster;

  private constructor(lab: Laboratory, witness: LabMaster) {
    this.#lab = lab;
    this.#witness = witness;
  }

  static async in(lab: Laboratory): Promise<OrphanedAlarms> {
    const witness = await lab.master('witness');
    await witness.call('consume', { queue: 'ears', bindings: ['set.*', 'rings.*'] });
    return new OrphanedAlarms(lab, witness);
  }

  async master(name: string): Promise<LabMaster> {
    const master = await this.#lab.master(name);
    await master.call('schedule', { queue: QUEUE });
    return master;
  }

  /** Resolves when it is set and saved: its word of that is here. The time is that of the machine. */
  async set(name: string, afterMs: number): Promise<number> {
    await this.#witness.call('say', { topic: 'alarms.new', data: { name, afterMs } });
    const heard = () => this.#heard(`set.${name}`)[0];
    await eventually(`alarm ${name} is set`, () => heard() !== undefined);
    return heard()!;
  }

  async rings(name: string, timeoutMs = 20_000): Promise<number> {
    await eventually(`alarm ${name} rings`, () => this.#heard(`rings.${name}`).length > 0, timeoutMs);
    return this.#heard(`rings.${name}`)[0]!;
  }

  /** How often it has rung so far. */
  rung(name: string): number {
    return this.#heard(`rings.${name}`).length;
  }

  #heard(topic: string): number[] {
    return this.#lab.of('begun', 'witness').flatMap((one) => (one.topic === topic ? [one.at] : []));
  }
}

/** Half way the owner is killed, and the next one too: the third rings when the first would have. */
export async function ringsForTheTimeThatIsLeft(lab: Laboratory): Promise<void> {
  const alarms = await OrphanedAlarms.in(lab);
  const masters = [await alarms.master('one'), await alarms.master('two'), await alarms.master('three')];
  const setAt = await alarms.set('late', 6_000);
  for (const [at, afterMs] of [2_000, 4_000].entries()) {
    await eventually('it is time to die', () => machineNow() - setAt > afterMs);
    await masters[at]!.kill();
    await masters[at + 1]!.call('until', { queue: QUEUE, status: 'active' });
  }
  expect(alarms.rung('late')).toBe(0);
  const tookMs = (await alarms.rings('late')) - setAt;
  expect(tookMs).toBeGreaterThan(6_000 - EARLY_MS);
  // Begun anew by the third it would take ten seconds.
  expect(tookMs).toBeLessThan(6_000 + LATE_MS);
  await ringsNoMore(alarms, 'late');
}

/** Nobody is there when it falls due: whoever comes rings once, at once. */
export async function ringsOnceWhenOverdue(lab: Laboratory): Promise<void> {
  const alarms = await OrphanedAlarms.in(lab);
  const owner = await alarms.master('owner');
  const setAt = await alarms.set('overdue', 3_000);
  await owner.kill();
  await eventually('it is overdue', () => machineNow() - setAt > 3_500);
  expect(alarms.rung('overdue')).toBe(0);
  const begunAt = machineNow();
  await Promise.all([alarms.master('next'), alarms.master('standby')]);
  const tookMs = (await alarms.rings('overdue')) - begunAt;
  expect(tookMs).toBeLessThan(LATE_MS);
  await ringsNoMore(alarms, 'overdue');
}

/** What is set later and rings is heard behind a second ring, if there is one. */
async function ringsNoMore(alarms: OrphanedAlarms, name: string): Promise<void> {
  await alarms.set(`after ${name}`, 300);
  await alarms.rings(`after ${name}`);
  expect(alarms.rung(name)).toBe(1);
}
