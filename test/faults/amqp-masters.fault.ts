import { describe, expect, it, vi } from 'vitest';
import { controlRabbit, rabbit } from '../brokers/rabbit.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { RabbitLaboratory } from '../lab/rabbit-laboratory.js';

vi.setConfig({ testTimeout: 120_000 });

const broker = await rabbit();

describe.skipIf(!broker)('masters at a RabbitMQ', () => {
  const url = broker?.url ?? '';

  it('are restarted one after the other under 300 messages a second: nothing comes twice', async () => {
    const lab = RabbitLaboratory.at(url);
    const publisher = await lab.master('publisher');
    const masters = await lab.masters('one-1', 'two-1', 'three-1');
    await publisher.call('observe', { pattern: 'effects.#' });
    for (const master of masters) await master.call('consume', consume);
    await publisher.call('start', { ...publish, perSecond: 300 });
    await eventually('messages are handled', () => lab.handled() > 300);
    for (const master of masters) {
      const before = lab.handled();
      await master.stop();
      const next = await lab.master(master.name.replace('-1', '-2'));
      await next.call('consume', consume);
      await eventually('it goes on', () => lab.handled() > before + 300);
    }
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await lab.ended()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('make a message that kills its process a dead letter', async () => {
    const lab = RabbitLaboratory.at(url);
    const names = ['a', 'b', 'c', 'd', 'e'];
    const [third, ...owners] = await lab.masters('third', ...names);
    const deadly = { queue: QUEUE, bindings: ['t.#'], deadlySequence: 3, attemptsMax: 2 };
    for (const owner of owners) await owner.call('consume', deadly);
    await third!.call('publish', { ...publish, queues: [], count: 6 });
    await eventually('it is a dead letter', () => lab.said('dead-letter').length === 1, 30_000);
    await eventually('what came behind it is handled', () =>
      lab.of('begun').some(({ sequence }) => sequence === 6),
    );
    const attempts = lab.of('begun').filter(({ sequence }) => sequence === 3);
    // The first call is not noted for sure, every later one is.
    expect(attempts.length).toBeLessThanOrEqual(3);
    expect(owners.filter(({ isAlive }) => isAlive).length).toBeGreaterThanOrEqual(2);
    expect(await lab.ended()).toMatchObject(clean);
  });

  it('subscribe and stop 2,000 times in random order under load, and leave nothing', async () => {
    const lab = RabbitLaboratory.at(url);
    const [churner, consumer, publisher] = await lab.masters('churner', 'consumer', 'publisher');
    await consumer!.call('consume', consume);
    await publisher!.call('start', { ...publish, perSecond: 200 });
    await publisher!.call('start', {
      ...publish,
      topic: 'logs.a',
      producer: 'q',
      queues: [],
      perSecond: 200,
    });
    await eventually('messages flow', () => lab.handled() > 50);
    const seed = Date.now() % 1_000_000;
    const outcome = await churner!.call('churn', { count: 2_000, seed, topics: ['t.a', 'logs.a', 'logs.b'] });
    console.log(`seed ${seed}: ${outcome.calls} calls`);
    expect(outcome.late).toBe(0);
    expect(outcome.calls).toBeGreaterThan(100);
    const bindings = await controlRabbit('list_bindings', 'source_name', 'destination_name');
    const left = (bindings ?? '')
      .split('\n')
      .filter((line) => line.startsWith(lab.names.events) && line.includes(`${lab.namespace}.e.`));
    expect(left).toEqual([]);
    for (const producer of ['p', 'q']) await publisher!.call('stopPublishing', { producer });
    await lab.settled();
    expect(lab.said('gap')).toEqual([]);
    expect(await lab.ended()).toMatchObject(clean);
  });
});
