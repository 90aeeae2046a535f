import { describe, expect, it } from 'vitest';
import { createActor, type AnyStateMachine } from 'xstate';
import { dependent, nightly, periodic, treeStable } from '../../actors/index.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';
import { rejection } from '../eventually.js';

const clocks: VirtualClock[] = [];

/** A scheduler without a broker: an actor with a clock, and what it has emitted. */
function run(logic: AnyStateMachine, clock = new VirtualClock()) {
  clocks.push(clock);
  const published: { topic: string; data: unknown }[] = [];
  const actor = createActor(logic, { clock });
  actor.on('*', ({ topic, data }: { topic: string; data: unknown }) => published.push({ topic, data }));
  actor.start();
  const get = (type: string, data: unknown) => actor.send({ type, message: { topic: type, data } });
  return { clock, published, get, actor };
}

describe('treeStable', () => {
  const options = { quietMs: 1_000, publish: { topic: 'buildsets.new' } };
  const change = (branch: string, rev: number) => ({ branch, rev });

  it('publishes the changes of a branch once it has been quiet, whatever the others do', async () => {
    const { clock, get, published } = run(treeStable(options));
    get('changes.1.new', change('main', 1));
    await clock.advance(600);
    get('changes.2.new', change('next', 2));
    get('changes.3.new', change('main', 3));
    await clock.advance(999);
    expect(published).toEqual([]);
    await clock.advance(1);
    expect(published.map(({ data }) => data)).toEqual([
      { branch: 'next', changes: [change('next', 2)] },
      { branch: 'main', changes: [change('main', 1), change('main', 3)] },
    ]);
  });

  it('keeps of a change what it is told to', async () => {
    const changeOf = ({ topic }: { topic: string }) => topic;
    const { clock, get, published } = run(treeStable({ ...options, changeOf }));
    get('changes.1.new', change('main', 1));
    await clock.advance(1_000);
    expect(published).toMatchObject([{ data: { branch: 'main', changes: ['changes.1.new'] } }]);
  });

  it('waits for no more than so many changes', async () => {
    const { clock, get, published } = run(treeStable({ ...options, changesMax: 3 }));
    for (let rev = 1; rev <= 4; rev++) get('changes', change('main', rev));
    expect(published).toMatchObject([{ topic: 'buildsets.new', data: { branch: 'main' } }]);
    await clock.advance(1_000);
    expect(published[1]).toMatchObject({ data: { changes: [change('main', 4)] } });
  });
});

describe('periodic', () => {
  const options = { everyMs: 100, publish: { topic: 'tick' } };

  it('publishes again and again', async () => {
    const { clock, published } = run(periodic(options));
    await clock.advance(350);
    expect(published.map(({ data }) => data)).toEqual([{ run: 1 }, { run: 2 }, { run: 3 }]);
  });

  it.each([
    ['once', [{ run: 1 }, { run: 2 }]],
    ['skip', [{ run: 1 }]],
  ] as const)('with missedRuns %s publishes %j after a run that was missed', async (missedRuns, expected) => {
    const clock = new VirtualClock();
    let skipped = 0;
    const now = () => clock.wall() + skipped;
    const { published } = run(periodic({ ...options, missedRuns, now }), clock);
    // The timer fires on another master, much later.
    skipped = 120_000;
    await clock.advance(100);
    await clock.advance(100);
    expect(published.map(({ data }) => data)).toEqual(expected);
  });
});

it('dependent publishes when the other is complete', () => {
  const when = ({ data }: { data: unknown }) => (data as { ok: boolean }).ok;
  const { get, published } = run(
    dependent({ when, publish: { topic: 'deploys.new', data: ({ topic }) => ({ after: topic }) } }),
  );
  get('builds.1.complete', { ok: false });
  get('builds.2.complete', { ok: true });
  expect(published).toMatchObject([{ topic: 'deploys.new', data: { after: 'builds.2.complete' } }]);
});

describe('nightly', () => {
  const HOUR = 3_600_000;
  /** A clock whose wall stands at that time. */
  const clockAt = (time: string) => {
    const clock = new VirtualClock();
    const offset = Date.parse(time) - clock.wall();
    return { clock, now: () => clock.wall() + offset };
  };
  const due = (published: { data: unknown }[]) =>
    published.map(({ data }) => (data as { due: Date }).due.toISOString());

  it('keeps to daylight saving: three o’clock is three o’clock, and each night has one', async () => {
    const { clock, now } = clockAt('2026-03-27T12:00:00Z');
    const { published } = run(
      nightly({ cron: '0 3 * * *', timeZone: 'Europe/Berlin', publish: { topic: 'n' }, now }),
      clock,
    );
    await clock.advance(96 * HOUR);
    expect(due(published)).toEqual([
      '2026-03-28T02:00:00.000Z',
      // On the 29th two o'clock is three o'clock.
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T01:00:00.000Z',
      '2026-03-31T01:00:00.000Z',
    ]);
  });

  it('runs once in the night whose hour comes twice', async () => {
    const { clock, now } = clockAt('2026-10-24T12:00:00Z');
    const { published } = run(
      nightly({ cron: '30 2 * * *', timeZone: 'Europe/Berlin', publish: { topic: 'n' }, now }),
      clock,
    );
    await clock.advance(24 * HOUR);
    expect(published).toHaveLength(1);
  });

  it.each([
    ['once', 1],
    ['skip', 0],
  ] as const)(
    'a run that was missed, with missedRuns %s, is made up for %i times',
    async (missedRuns, times) => {
      let skipped = 0;
      const { clock, now } = clockAt('2026-06-01T00:00:00Z');
      const logic = nightly({
        ...{ cron: '0 3 * * *', timeZone: 'UTC', publish: { topic: 'n' }, missedRuns },
        now: () => now() + skipped,
      });
      const { published } = run(logic, clock);
      // The timer fires on another master, days later.
      skipped = 72 * HOUR;
      await clock.advance(3 * HOUR);
      expect(published).toHaveLength(times);
      await clock.advance(24 * HOUR);
      expect(due(published).at(-1)).toBe('2026-06-05T03:00:00.000Z');
    },
  );

  it('refuses what is no time', async () => {
    for (const bad of [{ cron: 'at night' }, { cron: '0 3 * * *', timeZone: 'Europe/Nowhere' }])
      expect(
        await rejection(Promise.resolve().then(() => nightly({ ...bad, publish: { topic: 'n' } }))),
      ).toMatchObject({ code: 'ERR_OPTION' });
  });
});
