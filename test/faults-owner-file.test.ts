import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventually } from './eventually.js';
import { Laboratory } from './lab/laboratory.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 20_000 });

const QUEUE = 'work';
const clean = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };

/** What happens to a queue when the processes of its masters are stopped, killed and frozen. */
describe('file: an owner', () => {
  let lab: Laboratory;

  beforeEach(() => {
    lab = new Laboratory();
  });
  afterEach(() => lab.close());

  const consume = { queue: QUEUE, bindings: ['t.#'], effects: 'effects.work', handlerMs: 1 };
  const publish = { topic: 't.a', producer: 'p', queues: [QUEUE] };
  const handled = (master?: string) => lab.of('handled', master).length;

  it('that stops properly hands over, and nothing is redelivered', async () => {
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 200 });
    await eventually('the owner handles', () => handled('owner') > 50);
    await owner!.stop();
    await eventually('the standby handles', () => handled('standby') > 50);
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.verdict()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('that is killed is followed by the standby: what was unsettled comes first, flagged', async () => {
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 300 });
    await eventually('the owner handles', () => handled('owner') > 100);
    await owner!.kill();
    await eventually('the standby handles', () => handled('standby') > 100);
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    const [first] = lab.of('begun', 'standby');
    expect(first).toMatchObject({ redelivered: true });
    const last = lab.of('handled', 'owner').at(-1)!;
    const begun = lab.of('begun', 'owner').find(({ id }) => id === last.id)!;
    expect(first!.sequence).toBeLessThanOrEqual(begun.sequence + 1);
    const unflagged = lab.of('begun', 'standby').findIndex(({ redelivered }) => !redelivered);
    expect(
      lab
        .of('begun', 'standby')
        .slice(unflagged)
        .every(({ redelivered }) => !redelivered),
    ).toBe(true);
    expect(await lab.verdict()).toMatchObject(clean);
  });
});
