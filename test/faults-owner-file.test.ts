import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventually } from './eventually.js';
import { machineNow } from './lab/evidence.js';
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
    // It is slower than what comes in: whenever it is killed, a message is in its hands.
    await owner!.call('consume', { ...consume, handlerMs: 10 });
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 150 });
    await eventually('the owner handles', () => handled('owner') > 50);
    await owner!.kill();
    await eventually('the standby handles', () => handled('standby') > 50);
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

  it('that is frozen is followed after ownerTimeoutMs, and once thawed nothing that it does is accepted', async () => {
    const [owner, standby] = await lab.masters('owner', 'standby');
    await standby!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', { ...consume, handlerMs: 60_000, whenAborted: 'end' });
    await standby!.call('consume', consume);
    await standby!.call('publish', { ...publish, count: 10 });
    await eventually('a call has begun', () => lab.of('begun', 'owner').length > 0);
    owner!.freeze();
    const frozenAt = machineNow();
    await eventually('the standby handles', () => handled('standby') > 0);
    expect(lab.of('begun', 'standby')[0]!.at - frozenAt).toBeLessThan(800 + 500);
    owner!.thaw();
    await eventually('the running call of the former owner is told', () => lab.of('aborted').length > 0);
    await owner!.call('until', { queue: QUEUE, status: 'standby' });
    await lab.settled();
    const [aborted] = lab.of('aborted', 'owner');
    await eventually('its publish is refused', () => lab.of('refused', 'owner').length > 0);
    expect(lab.of('refused', 'owner')).toMatchObject([{ id: aborted!.id, code: 'ERR_FENCED' }]);
    expect(handled('owner')).toBe(0);
    expect(lab.of('handled', 'standby')[0]).toMatchObject({ redelivered: true });
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('of a shared queue may be killed: its messages go to the others, flagged', async () => {
    const masters = await lab.masters('a', 'b', 'c');
    const shared = {
      queue: QUEUE,
      bindings: ['t.#'],
      ownership: 'shared' as const,
      handlerMs: 5,
      concurrency: 4,
    };
    await Promise.all(masters.map((master) => master.call('consume', shared)));
    await masters[0]!.call('start', { ...publish, perSecond: 150 });
    await eventually('all of them handle', () => ['a', 'b', 'c'].every((name) => handled(name) > 20));
    await masters[1]!.kill();
    const before = handled('c');
    await eventually('the others go on', () => handled('c') > before + 50);
    await masters[0]!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('that a message kills is followed by others until the message is a dead letter', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const [third, ...owners] = await lab.masters('third', ...names);
    const deadly = { queue: QUEUE, bindings: ['t.#'], deadlySequence: 3, attemptsMax: 2 };
    for (const owner of owners) await owner.call('consume', deadly);
    await third!.call('publish', { ...publish, queues: [], count: 6 });
    const letters = () => lab.of('said').filter(({ event }) => event === 'dead-letter');
    await eventually('it is a dead letter', () => letters().length === 1);
    await eventually('what came behind it is handled', () =>
      lab.of('begun').some(({ sequence }) => sequence === 6),
    );
    const attempts = lab.of('begun').filter(({ sequence }) => sequence === 3);
    // The first call is not noted for sure, every later one is.
    expect(attempts.length).toBeLessThanOrEqual(3);
    expect(owners.filter(({ isAlive }) => isAlive).length).toBeGreaterThanOrEqual(2);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('of several calls at a time dies of one message, and that one alone is a dead letter', async () => {
    const [watcher, ...owners] = await lab.masters('watcher', 'a', 'b', 'c', 'd', 'e', 'f');
    const consume = {
      queue: QUEUE,
      bindings: ['t.#'],
      concurrency: 5,
      handlerMs: 20,
      deadlySequence: 3,
      attemptsMax: 2,
    };
    for (const owner of owners) await owner.call('consume', consume);
    await watcher!.call('publish', { ...publish, queues: [], count: 12 });
    const letters = () => lab.of('said').filter(({ event }) => event === 'dead-letter');
    await eventually('there is a dead letter', () => letters().length > 0);
    const poison = lab.of('begun').find(({ sequence }) => sequence === 3)!.id;
    expect(letters().map(({ detail }) => detail['id'])).toEqual([poison]);
    const neighbours = () => new Set(lab.of('handled').map(({ id }) => id)).size;
    await eventually('all others are handled', () => neighbours() === 11);
    expect(letters()).toHaveLength(1);
    expect(owners.filter(({ isAlive }) => isAlive).length).toBeGreaterThanOrEqual(2);
    expect(await lab.verdict()).toMatchObject(clean);
  });
});
