import { describe, expect, it, vi } from 'vitest';
import type { Names } from '../../src/backends/jetstream/names.js';
import { nats } from '../brokers/nats.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import type { LabMaster } from '../lab/lab-master.js';
import { NatsLaboratory } from '../lab/nats-laboratory.js';
import type { SocketProxy } from '../lab/proxy.js';

vi.setConfig({ testTimeout: 90_000 });

const broker = await nats();

/** What a challenger says to the server, in the order in which it says it. */
const steps: readonly (readonly [step: string, word: (names: Names) => string])[] = [
  ['it looks at the former consumer', () => '$JS.API.CONSUMER.INFO.'],
  ['it makes a consumer', () => '$JS.API.CONSUMER.CREATE.'],
  ['the lease names its consumer', (names) => `PUB ${names.lease(QUEUE)} `],
  ['it rewrites the checkpoint', (names) => `PUB ${names.checkpoint(QUEUE)} `],
  ['it deletes the former consumer', () => '$JS.API.CONSUMER.DELETE.'],
];

describe.skipIf(!broker)('a take-over on NATS', () => {
  /** The owner is killed, and its challenger gets no further than that step. */
  async function interrupted(word: (names: Names) => string) {
    const lab = NatsLaboratory.at(broker!);
    const { proxy, url } = await lab.detour();
    const [owner, publisher] = await lab.masters('owner', 'publisher');
    const challenger = await lab.master('challenger', { broker: url });
    await publisher!.call('observe', { pattern: 'effects.#' });
    await owner!.call('consume', { ...consume, handlerMs: 5 });
    expect(await challenger.call('consume', consume)).toBe('standby');
    await publisher!.call('start', { ...publish, perSecond: 60 });
    await eventually('the owner handles', () => lab.handled('owner') > 20);
    let isHalted = false;
    void proxy.haltBefore(word(lab.names), 1).then(() => (isHalted = true));
    await owner!.kill();
    await eventually('the challenger is at that step', () => isHalted);
    const third = await lab.master('third');
    return { lab, proxy, publisher: publisher!, challenger, third };
  }

  async function finished(lab: NatsLaboratory, publisher: LabMaster): Promise<void> {
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    // What a crashed challenger has made is nobody's.
    await eventually('the queue has one consumer', async () => (await lab.consumers()).length === 1, 20_000);
    expect(await lab.ended()).toMatchObject(clean);
  }

  it.each(steps)('survives that its challenger dies before %s', async (_, word) => {
    const { lab, publisher, challenger, third } = await interrupted(word);
    await challenger.kill();
    await third.call('consume', consume);
    await eventually('the third handles', () => lab.handled('third') > 50, 20_000);
    await finished(lab, publisher);
  });

  it.each(steps)('survives that its challenger stands still before %s', async (_, word) => {
    const { lab, proxy, publisher, challenger, third } = await interrupted(word);
    await third.call('consume', consume);
    await eventually('the third handles', () => lab.handled('third') > 50, 20_000);
    await thawed(proxy, challenger);
    expect(lab.handled('challenger')).toBe(0);
    const before = lab.handled('third');
    await eventually('the third goes on', () => lab.handled('third') > before + 50);
    await finished(lab, publisher);
  });

  /** What it was about to say arrives now. */
  async function thawed(proxy: SocketProxy, challenger: LabMaster): Promise<void> {
    proxy.thaw();
    await challenger.call('until', { queue: QUEUE, status: 'standby', timeoutMs: 20_000 });
  }
});
