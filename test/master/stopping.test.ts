import { describe, expect, it } from 'vitest';
import type { DeliveryContext, Master, MasterOptions } from '../../src/index.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { rejection } from '../eventually.js';
import { farm, started, tampered, timeUntil } from './farm.js';

/** A master whose handlers end when they are told to, and at no other time. */
async function busy(options: Partial<MasterOptions> = {}) {
  const environment = virtualEnvironment();
  const master = await farm()('a', { environment, ...options });
  const calls: DeliveryContext[] = [];
  const ends: (() => void)[] = [];
  const handler = (_: unknown, delivery: DeliveryContext) => {
    calls.push(delivery);
    // Read at once: it is made on first use.
    void delivery.signal;
    return new Promise<void>((resolve) => ends.push(resolve));
  };
  await master.subscribe('a', handler);
  await master.consume('q', { bindings: ['a'] }, handler);
  await master.publish('a', 1);
  await environment.clock.advance(1);
  expect(calls).toHaveLength(2);
  return { master, clock: environment.clock, calls, end: () => ends.forEach((one) => one()) };
}

describe('stop', () => {
  it('waits drainTimeoutMs of the master for handlers that run', async () => {
    const { master, clock, calls } = await busy({ drainTimeoutMs: 500 });
    expect(await timeUntil(clock, master.stop())).toBe(500);
    expect(calls.map(({ signal }) => signal.aborted)).toEqual([true, true]);
  });

  it('waits its own drainTimeoutMs instead, if that is less', async () => {
    const { master, clock } = await busy({ drainTimeoutMs: 60_000 });
    expect(await timeUntil(clock, master.stop({ drainTimeoutMs: 50 }))).toBe(50);
  });

  it('waits its own drainTimeoutMs instead, if that is more', async () => {
    const { master, clock, calls, end } = await busy({ drainTimeoutMs: 50 });
    const stopped = master.stop({ drainTimeoutMs: 60_000 });
    await clock.advance(50_000);
    expect([master.status, ...calls.map(({ signal }) => signal.aborted)]).toEqual(['stopping', false, false]);
    end();
    expect(await timeUntil(clock, stopped)).toBe(0);
  });

  it('is hurried by a later one, and hurries what drains already', async () => {
    const { master, clock } = await busy({ drainTimeoutMs: 60_000 });
    const first = master.stop();
    await clock.advance(1_000);
    void master.stop({ drainTimeoutMs: 100 });
    expect(await timeUntil(clock, first)).toBe(100);
  });

  it('is not made longer by a later one for what drains already', async () => {
    const { master, clock } = await busy({ drainTimeoutMs: 100 });
    const first = master.stop();
    void master.stop({ drainTimeoutMs: 60_000 });
    expect(await timeUntil(clock, first)).toBe(100);
  });

  it('gives what is unconfirmed the same time, and then a session that does not close', async () => {
    const environment = virtualEnvironment();
    const broker = tampered((session) => {
      const publish = session.publish.bind(session);
      session.publish = (envelope) => publish(envelope).then(() => new Promise(() => {}));
      session.close = () => new Promise(() => {});
    });
    const master = await farm()('a', { broker, environment });
    const published = rejection(master.publish('a', 1));
    const ms = await timeUntil(environment.clock, master.stop({ drainTimeoutMs: 200 }));
    expect(await published).toMatchObject({ code: 'ERR_STOPPED' });
    // The outbox, the session, and the second that the session has after its deadline.
    expect(ms).toBe(200 + 200 + 1_000);
  });

  it('leaves no timer behind', async () => {
    const { master, clock, end } = await busy();
    const stopped = master.stop({ drainTimeoutMs: 1_000 });
    end();
    await stopped;
    expect(clock.pending).toBe(0);
  });

  it('refuses options that make no sense, and goes on', async () => {
    const master: Master = await farm()('a');
    for (const options of [{ drainTimeoutMs: 0 }, { drainTimeoutMs: NaN }, { drain: 1 }, null])
      expect(await rejection(master.stop(options as never))).toMatchObject({ code: 'ERR_OPTION' });
    expect(master.status).toBe('ready');
    expect(started).toContain(master);
  });
});
