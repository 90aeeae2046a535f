import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { rabbit } from '../brokers/rabbit.js';
import { RabbitNode } from '../brokers/rabbit-node.js';
import { rabbitServer } from '../brokers/rabbit-server.js';
import { eventually } from '../eventually.js';
import { clean, consume, publish, QUEUE } from '../lab/broker-laboratory.js';
import { RabbitLaboratory } from '../lab/rabbit-laboratory.js';

vi.setConfig({ testTimeout: 240_000 });

const broker = await rabbit();

describe.skipIf(!broker)('three nodes of a RabbitMQ', () => {
  it('lose nothing of a quorum queue when its leader is killed with the node of the owner', async () => {
    const server = rabbitServer();
    if (server.missing !== undefined) throw new Error(`This needs brokers of its own. ${server.missing}`);
    const first = await RabbitNode.start(server.program);
    onTestFinished(() => first.close(), 60_000);
    const others = await Promise.all([2, 3].map(() => RabbitNode.start(server.program, { beside: first })));
    for (const node of others) onTestFinished(() => node.close(), 60_000);
    const [second, third] = others.map(({ url }) => url);
    const lab = RabbitLaboratory.on(others[1]!);
    const quorum = { ...consume, queueType: 'quorum' } as const;
    const owner = await lab.master('owner', { broker: [second!, third!] });
    const standby = await lab.master('standby', { broker: [third!, second!] });
    const publisher = await lab.master('publisher', { broker: [first.url, third!] });
    await publisher.call('observe', { pattern: 'effects.#' });
    await owner.call('consume', quorum);
    await standby.call('consume', quorum);
    await publisher.call('start', { ...publish, perSecond: 150 });
    await eventually('the owner handles', () => lab.handled('owner') > 100);
    const leaders = await first.control('list_queues', 'name', 'leader');
    expect(leaders).toMatch(new RegExp(`${lab.names.work(QUEUE)}\\s+${others[0]!.name}`));
    // The leader of its queues, and the node that the owner is connected to.
    await others[0]!.kill();
    const before = lab.handled();
    await eventually('somebody handles again', () => lab.handled() > before + 100, 60_000);
    await publisher.call('stopPublishing', { producer: 'p' });
    await lab.settled(60_000);
    await others[0]!.run();
    expect(await lab.ended()).toMatchObject(clean);
  });
});
