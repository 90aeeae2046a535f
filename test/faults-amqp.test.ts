import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createMaster } from '../src/index.js';
import { leftAtRabbit, rabbit } from './brokers/rabbit.js';
import { RabbitNode } from './brokers/rabbit-node.js';
import { rabbitServer } from './brokers/rabbit-server.js';
import { eventually } from './eventually.js';
import { Laboratory } from './lab/laboratory.js';

vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

const QUEUE = 'work';
const OWNER_TIMEOUT_MS = 2_000;
const clean = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };
const broker = await rabbit();

/** The faults that hurt most, on a real broker; `faults-amqp-*.test.ts` has the others. */
describe.skipIf(!broker)('RabbitMQ', () => {
  let lab: Laboratory;
  let namespace: string;
  const url = broker?.url ?? '';

  beforeEach(() => {
    namespace = `faults-${randomBytes(6).toString('hex')}`;
    lab = new Laboratory({ broker: url, ownerTimeoutMs: OWNER_TIMEOUT_MS, namespace });
  });
  afterEach(() => lab.close());

  const consume = { queue: QUEUE, bindings: ['t.#'], effects: 'effects.work', handlerMs: 1 };
  const publish = { topic: 't.a', producer: 'p', queues: [QUEUE] };
  const handled = (master?: string) => lab.of('handled', master).length;

  /** Everything has ended well, and with the queue all of it is gone from the broker. */
  async function verdict(at = url): Promise<Awaited<ReturnType<Laboratory['verdict']>>> {
    const judged = await lab.verdict();
    const options = { name: 'janitor', broker: at, namespace, ownerTimeoutMs: OWNER_TIMEOUT_MS };
    await using janitor = await createMaster(options);
    await janitor.consume(QUEUE, { bindings: ['t.#'] }, () => {});
    await janitor.deleteQueue(QUEUE, { whileInUse: true });
    await janitor.stop();
    if (at === url) expect((await leftAtRabbit(namespace)) ?? []).toEqual([]);
    return judged;
  }

  it('hands over properly with a full prefetch: nothing is redelivered', async () => {
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', { ...consume, handlerMs: 5 });
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 200 });
    await eventually('the owner handles', () => handled('owner') > 50);
    await owner!.stop();
    await eventually('the standby handles', () => handled('standby') > 50);
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await verdict()).toMatchObject({ ...clean, redelivered: 0 });
  });

  it('follows an owner that is killed by the standby: what was unsettled comes first, flagged', async () => {
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', { ...consume, handlerMs: 10 });
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 120 });
    await eventually('the owner handles', () => handled('owner') > 30);
    await owner!.kill();
    await eventually('the standby handles', () => handled('standby') > 50);
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(lab.of('begun', 'standby')[0]).toMatchObject({ redelivered: true });
    expect(await verdict()).toMatchObject(clean);
  });

  it('follows a frozen owner, and once thawed nothing that it does is accepted', async () => {
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', { ...consume, handlerMs: 60_000, whenAborted: 'end' });
    await standby!.call('consume', consume);
    await third!.call('publish', { ...publish, count: 10 });
    await eventually('a call has begun', () => lab.of('begun', 'owner').length > 0);
    owner!.freeze();
    await eventually('the standby handles', () => handled('standby') > 0, 20_000);
    owner!.thaw();
    await eventually('the running call of the former owner is told', () => lab.of('aborted').length > 0);
    await owner!.call('until', { queue: QUEUE, status: 'standby' });
    await lab.settled();
    expect(handled('owner')).toBe(0);
    expect(lab.of('handled', 'standby')[0]).toMatchObject({ redelivered: true });
    expect(await verdict()).toMatchObject(clean);
  });

  it('follows an owner behind a frozen link, and accepts nothing of it when that thaws', async () => {
    const proxy = await lab.proxy(0, Number(new URL(url).port));
    const throughProxy = url.replace(/:\d+$/, `:${proxy.port}`);
    const owner = await lab.master('owner', { broker: throughProxy });
    const [standby, third] = await lab.masters('standby', 'third');
    await third!.call('observe', { pattern: 'effects.#' });
    await owner.call('consume', { ...consume, handlerMs: 10 });
    await standby!.call('consume', consume);
    await third!.call('start', { ...publish, perSecond: 60 });
    await eventually('the owner handles', () => handled('owner') > 20);
    proxy.freeze('toBroker', 'fromBroker');
    await eventually('the standby handles', () => handled('standby') > 20, 20_000);
    proxy.thaw();
    await owner.call('until', { queue: QUEUE, status: 'standby', timeoutMs: 30_000 });
    await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(await verdict()).toMatchObject(clean);
  });

  it('loses nothing, and repeats nothing unflagged, when connections are reset under publishes', async () => {
    const proxy = await lab.proxy(0, Number(new URL(url).port));
    const throughProxy = url.replace(/:\d+$/, `:${proxy.port}`);
    const publisher = await lab.master('publisher', { broker: throughProxy });
    const consumer = await lab.master('consumer', { broker: throughProxy });
    await consumer.call('consume', { ...consume, effects: 'effects.work', prefetch: 50 });
    await publisher.call('start', { ...publish, perSecond: 300 });
    for (let round = 1; round <= 3; round++) {
      const before = handled();
      await eventually('messages are handled', () => handled() > before + 60, 30_000);
      if (round === 2) proxy.cutAfter(2_000, 'fromBroker');
      else proxy.reset();
    }
    const before = handled();
    await eventually('it goes on', () => handled() > before + 60, 30_000);
    // A lost session is no failure of what runs over it.
    expect(lab.of('said').filter(({ event }) => event === 'restart')).toEqual([]);
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled(40_000);
    expect(await verdict()).toMatchObject(clean);
  });

  it('has what it confirmed when it is killed and started again', async () => {
    const server = rabbitServer();
    if (server.missing !== undefined) throw new Error(`This needs a broker of its own. ${server.missing}`);
    const node = await RabbitNode.start(server.program);
    onTestFinished(() => node.close());
    await lab.close();
    lab = new Laboratory({ broker: node.url, ownerTimeoutMs: OWNER_TIMEOUT_MS, namespace });
    const [owner, standby, publisher] = await lab.masters('owner', 'standby', 'publisher');
    await owner!.call('consume', consume);
    await standby!.call('consume', consume);
    await publisher!.call('start', { ...publish, perSecond: 150 });
    await eventually('the owner handles', () => handled() > 100);
    await node.kill();
    await node.run();
    const before = handled();
    await eventually('somebody handles again', () => handled() > before + 100, 40_000);
    await publisher!.call('stopPublishing', { producer: 'p' });
    await lab.settled(40_000);
    expect(await verdict(node.url)).toMatchObject(clean);
  });

  it('makes a message that kills its process a dead letter', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const [third, ...owners] = await lab.masters('third', ...names);
    const deadly = { queue: QUEUE, bindings: ['t.#'], deadlySequence: 3, attemptsMax: 2 };
    for (const owner of owners) await owner.call('consume', deadly);
    await third!.call('publish', { ...publish, queues: [], count: 6 });
    const letters = () => lab.of('said').filter(({ event }) => event === 'dead-letter');
    await eventually('it is a dead letter', () => letters().length === 1, 30_000);
    await eventually('what came behind it is handled', () =>
      lab.of('begun').some(({ sequence }) => sequence === 6),
    );
    const attempts = lab.of('begun').filter(({ sequence }) => sequence === 3);
    // The first call is not noted for sure, every later one is.
    expect(attempts.length).toBeLessThanOrEqual(3);
    expect(owners.filter(({ isAlive }) => isAlive).length).toBeGreaterThanOrEqual(2);
    expect(await verdict()).toMatchObject(clean);
  });
});
