import { describe, expect, it } from 'vitest';
import { RejectError } from '../../src/model/errors.js';
import { rejection } from '../eventually.js';
import { createTestBroker, createTestMaster } from '../../src/testing/index.js';

describe('metrics', () => {
  it('count what was published, called, failed and given up, as plain data', async () => {
    await using master = await createTestMaster();
    const before = master.metrics();
    expect(before.counters).toMatchObject({ publishes: 0, connects: 1, takeovers: 0 });
    expect(before.gauges).toEqual({
      ...{ connected: 1, publishesPending: 0, publishesWaiting: 0, spoolMessages: 0, spoolBytes: 0 },
      ...{ subscriptions: 0, consumers: 0, consumersActive: 0 },
    });
    await master.subscribe('job.#', () => {});
    const options = { bindings: ['job.#'], retry: { attemptsMax: 2 } };
    await master.consume('jobs', options, ({ topic }) => {
      if (topic === 'job.bad') throw new RejectError('never');
      if (topic === 'job.worse') throw new Error('again');
    });
    for (const topic of ['job.good', 'job.bad', 'job.worse']) await master.publish(topic, 1);
    await master.idle();
    const { counters, gauges } = master.metrics();
    expect(counters).toEqual({
      ...{ publishes: 3, publishesConfirmed: 3, transientCalls: 3, durableCalls: 4 },
      ...{ failures: 3, deadLetters: 2, gaps: 0, missed: 0, restarts: 0, lost: 0 },
      ...{ connects: 1, takeovers: 1, warnings: 0 },
    });
    expect(gauges).toMatchObject({ subscriptions: 1, consumers: 1, consumersActive: 1 });
    expect(structuredClone(master.metrics())).toEqual(master.metrics());
  });

  it('tell of a broker that is away, and of what waits for it', async () => {
    const broker = createTestBroker();
    await using master = await createTestMaster({ name: 'one', broker });
    const faults = broker.faultsOf('one');
    await master.subscribe('#', () => {});
    const refusing = faults.refusePublishes();
    expect(await rejection(master.publish('a', 1))).toMatchObject({ code: 'ERR_BROKER_FULL' });
    refusing();
    const blocking = faults.blockPublishes();
    const waiting = master.publish('a', 2);
    await broker.clock.advance(1);
    expect(master.metrics().gauges).toMatchObject({ publishesPending: 1, publishesWaiting: 1 });
    expect(master.metrics().counters).toMatchObject({ publishes: 2, publishesConfirmed: 0 });
    blocking();
    await waiting;
    faults.dropSession();
    await broker.clock.advance(20_000);
    const { counters, gauges } = master.metrics();
    expect(counters).toMatchObject({ connects: 2, gaps: 1, publishesConfirmed: 1 });
    expect(gauges.connected).toBe(1);
  });
});
