import { describe, expect, it } from 'vitest';
import type { InspectionEvent } from 'xstate';
import { eventually } from '../eventually.js';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { systemEnvironment } from '../../src/model/clock.js';
import { defineMessages, type } from '../../src/index.js';
import { farm } from '../master/farm.js';
import { sums } from './machines.js';

const numbers = { bindings: ['numbers.*'], logic: sums };

describe('schedule', () => {
  it('applies each message to its machine and publishes what that emits', async () => {
    const master = await farm()('one');
    const heard: unknown[] = [];
    await master.subscribe('sums.*', ({ data }) => void heard.push(data));
    const scheduler = await master.schedule('sums', { ...numbers, input: { from: 100 } });
    expect(scheduler.status).toBe('active');
    for (let n = 1; n <= 5; n++) await master.publish('numbers.new', n);
    await eventually('5 sums are heard', () => heard.length === 5);
    expect(heard).toEqual([101, 103, 106, 110, 115]);
  });

  it('goes on where a stopped master has left it', async () => {
    const start = farm();
    const [first, second] = [await start('first'), await start('second')];
    const heard: unknown[] = [];
    await second.subscribe('sums.*', ({ data }) => void heard.push(data));
    await first.schedule('sums', numbers);
    const standby = await second.schedule('sums', numbers);
    expect(standby.status).toBe('standby');
    for (let n = 1; n <= 3; n++) await first.publish('numbers.new', n);
    await first.stop();
    await standby.until('active');
    await second.publish('numbers.new', 4);
    await eventually('4 sums are heard', () => heard.length === 4);
    expect(heard).toEqual([1, 3, 6, 10]);
  });

  it('keeps its state over a pause', async () => {
    const master = await farm()('one');
    const heard: unknown[] = [];
    await master.subscribe('sums.*', ({ data }) => void heard.push(data));
    const scheduler = await master.schedule('sums', numbers);
    await master.publish('numbers.new', 1);
    await eventually('1 sums are heard', () => heard.length === 1);
    scheduler.pause();
    await scheduler.until('paused');
    await master.publish('numbers.new', 2);
    scheduler.resume();
    await eventually('2 sums are heard', () => heard.length === 2);
    expect(heard).toEqual([1, 3]);
  });
});

type Snapshot = { readonly context: { readonly sum: number } };

interface Seen {
  readonly type: string;
  readonly definition: unknown;
  readonly event: string | undefined;
  readonly value: unknown;
}

/** What an inspector sees of the statecharts of a master. */
function inspector() {
  const seen: Seen[] = [];
  const inspect = (inspected: InspectionEvent) => {
    if (inspected.type !== '@xstate.snapshot' && inspected.type !== '@xstate.actor') return;
    const { actorRef, type } = inspected;
    if ((actorRef as { id?: string }).id !== 'statechart') return;
    const { logic } = actorRef as unknown as { logic: { config: { id: string } } };
    const snapshot = (type === '@xstate.snapshot' ? inspected.snapshot : undefined) as Snapshot | undefined;
    const event = 'event' in inspected ? inspected.event.type : undefined;
    seen.push({ type, definition: logic.config.id, event, value: snapshot?.context.sum });
  };
  return { seen, inspect };
}

describe('the inspector', () => {
  it('sees the statechart of a scheduler and its transitions', async () => {
    const { seen, inspect } = inspector();
    const master = await farm()('seen', { inspect });
    const scheduler = await master.schedule('sums', numbers);
    await master.publish('numbers.new', 7);
    await eventually('its transition is seen', () => seen.some(({ event }) => event === 'numbers.new'));
    expect(seen[0]).toMatchObject({ type: '@xstate.actor', definition: 'sums' });
    expect(seen.find(({ event }) => event === 'numbers.new')).toMatchObject({ definition: 'sums', value: 7 });
    await scheduler.stop();
  });

  it('sees also those that a successor makes at once', async () => {
    const { seen, inspect } = inspector();
    const start = farm();
    const [first, second] = [await start('first'), await start('second', { inspect })];
    const former = await first.schedule('sums', numbers);
    await former.stop();
    for (const n of [1, 2, 3]) await first.publish('numbers.new', n);
    await second.schedule('sums', numbers);
    const values = () => seen.flatMap(({ event, value }) => (event === 'numbers.new' ? [value] : []));
    await eventually('its last transition is seen', () => values().includes(6));
    expect(values()).toEqual([1, 3, 6]);
  });
});

it('an emission whose schema answers later is refused with its message, and not published unchecked', async () => {
  const later: StandardSchemaV1<number> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => Promise.resolve({ value: value as number }),
    },
  };
  const messages = defineMessages({ 'numbers.new': type<number>(), 'sums.new': later });
  const master = await farm()('typed', { messages: messages as never });
  const [heard, buried]: [unknown[], string[]] = [[], []];
  await master.subscribe('sums.*', ({ data }) => void heard.push(data));
  master.on('dead-letter', ({ error }) => void buried.push(error));
  await master.schedule('sums', { ...numbers, retry: { attemptsMax: 1 } } as never);
  await master.publish('numbers.new', 1);
  await eventually('its message is a dead letter', () => buried.length === 1);
  expect(buried[0]).toContain('"sums.new" answers later');
  expect(heard).toEqual([]);
});

it.each([
  ['says so', undefined, ['CLOCK_SKEW']],
  ['says nothing where that may be', 10_000, []],
])('a master whose clock is five seconds behind %s', async (_, clockSkewMs, expected) => {
  const start = farm();
  const { clock } = systemEnvironment;
  const ahead = Object.create(clock, { wall: { value: () => clock.wall() + 5_000 } }) as typeof clock;
  const first = await start('ahead', { environment: { ...systemEnvironment, clock: ahead } });
  const second = await start('behind', clockSkewMs === undefined ? {} : { clockSkewMs });
  const codes: string[] = [];
  second.on('warning', ({ code }) => void codes.push(code));
  await (await first.schedule('sums', numbers)).stop();
  const scheduler = await second.schedule('sums', numbers);
  expect(scheduler.status).toBe('active');
  expect(codes).toEqual(expected);
});
