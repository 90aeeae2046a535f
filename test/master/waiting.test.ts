import { describe, expect, it } from 'vitest';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { rejection } from '../eventually.js';
import { farm } from './farm.js';

describe('waitFor and messages', () => {
  it('resolves with the message, or with what check returned', async () => {
    const master = await farm()('a');
    const waiting = master.waitFor('done', { check: () => master.publish('done', 7).then(() => undefined) });
    expect((await waiting).data).toBe(7);
    expect(await master.waitFor('never', { check: () => 'already' })).toBe('already');
  });

  it('passes on what check throws, the reason of an abort, and the deadline', async () => {
    const master = await farm()('a');
    const broken = new Error('broken');
    const check = () => {
      throw broken;
    };
    expect(await rejection(master.waitFor('a', { check }))).toBe(broken);
    const reason = new Error('enough');
    expect(await rejection(master.waitFor('a', { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(await rejection(master.waitFor('a', { timeoutMs: 1 }))).toMatchObject({ code: 'ERR_DEADLINE' });
  });

  it('iterates over messages until the loop is left', async () => {
    const master = await farm()('a');
    const stream = await master.messages('a');
    for (const data of [1, 2, 3]) await master.publish('a', data);
    const got: unknown[] = [];
    for await (const { data } of stream) if (got.push(data) === 2) break;
    expect(got).toEqual([1, 2]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it('tells of one gap for each outage of an iteration, and once a second while it lasts', async () => {
    const environment = virtualEnvironment();
    const master = await farm()('a', { environment });
    const stream = await master.messages('a', { mailbox: { limit: 10 } });
    const gaps: unknown[] = [];
    master.on('gap', ({ reason, missed }) => gaps.push([reason, missed]));
    const flood = async (count: number) => {
      await Promise.all(Array.from({ length: count }, (_, at) => master.publish('a', at)));
      await environment.clock.advance(0);
    };
    const read = async (count: number) => {
      for (let at = 0; at < count; at++) await stream.next();
    };
    await flood(20);
    await read(2);
    await flood(10);
    await read(2);
    expect(gaps).toEqual([]);
    await read(8);
    expect(gaps).toEqual([['mailbox', 18]]);
    for (let second = 0; second < 3; second++) {
      await flood(20);
      await read(1);
      await environment.clock.advance(1_000);
      await read(1);
    }
    expect(gaps.length).toBe(4);
  });

  it('ends an iteration with the reason of its signal, and with its master', async () => {
    const master = await farm()('a');
    const controller = new AbortController();
    const stream = await master.messages('a', { signal: controller.signal });
    const next = stream.next();
    controller.abort(new Error('enough'));
    expect((await rejection(next)).message).toBe('enough');
    const other = await master.messages('a');
    const last = other.next();
    await master.stop();
    expect(await last).toEqual({ done: true, value: undefined });
  });
});

describe('stopping', () => {
  it('does not wait for an iteration that nobody reads', async () => {
    const master = await farm()('a');
    const stream = await master.messages('a', { mailbox: { limit: 2 } });
    const gaps: unknown[] = [];
    master.on('gap', ({ missed }) => gaps.push(missed));
    for (let at = 0; at < 5; at++) await master.publish('a', at);
    expect((await stream.next()).value).toMatchObject({ data: 3 });
    expect(gaps).toEqual([3]);
    for (let at = 0; at < 5; at++) await master.publish('a', at);
    const begun = performance.now();
    await master.stop();
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(gaps).toEqual([3, 4]);
  });
});
