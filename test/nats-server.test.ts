import { connect } from 'node:net';
import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { nats } from './brokers/nats.js';
import { NatsNode } from './brokers/nats-node.js';
import { natsServer } from './brokers/nats-server.js';
import { eventually, rejection } from './eventually.js';

vi.setConfig({ testTimeout: 60_000 });

const broker = await nats();

/** The server's first word to whoever connects. */
function greeting(url: string): Promise<{ jetstream?: boolean; version: string }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(Number(port), hostname);
    socket.once('error', reject);
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (!text.includes('\r\n')) return;
      socket.destroy();
      resolve(JSON.parse(text.slice('INFO '.length, text.indexOf('\r\n'))) as never);
    });
  });
}

const found = natsServer();
const program = found.missing === undefined ? found.program : '';

describe.skipIf(!broker)('the NATS of a test run', () => {
  it('is there, with JetStream', async () => {
    expect(await greeting(broker!.url)).toMatchObject({ jetstream: true });
  });
});

describe.skipIf(!program)("a test's own nats-server", () => {
  it('is killed and started again at the same port, over what it held, and leaves nothing', async () => {
    const node = await NatsNode.start(program);
    const first = node.pid;
    await node.kill();
    expect(await rejection(greeting(node.url))).toMatchObject({ code: 'ECONNREFUSED' });
    await node.run();
    expect(node.pid).not.toBe(first);
    expect(await greeting(node.url)).toMatchObject({ jetstream: true });
    const second = node.pid;
    await node.close();
    for (const pid of [first, second]) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(existsSync(node.folder)).toBe(false);
  });

  it('is silent while it is frozen', async () => {
    const node = await NatsNode.start(program);
    onTestFinished(() => node.close());
    await node.freeze();
    let hasSpoken = false;
    const waiting = greeting(node.url).then(() => (hasSpoken = true));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(hasSpoken).toBe(false);
    node.thaw();
    await waiting;
  });

  it('tells what is wrong with its settings, and leaves nothing', async () => {
    const error = await rejection(NatsNode.start(program, { settings: ['no_such_setting: 1'] }));
    expect(error.message).toMatch(/ended \(1\).*unknown field "no_such_setting"/s);
  });

  it('is one of three that have a leader, and another one when that is killed', async () => {
    const nodes = await NatsNode.cluster(program);
    for (const node of nodes) onTestFinished(() => node.close());
    const leader = async (among: readonly NatsNode[]): Promise<NatsNode | undefined> => {
      const told = await Promise.all(among.map((node) => node.ask<Leads>('/jsz')));
      const names = told.map(({ meta_cluster }) => meta_cluster?.leader);
      return among.find(({ name }) => names.includes(name));
    };
    const first = (await leader(nodes))!;
    await first.kill();
    const others = nodes.filter((node) => node !== first);
    await eventually('there is another leader', async () => (await leader(others)) !== undefined, 30_000);
  });
});

interface Leads {
  readonly meta_cluster?: { readonly leader?: string };
}
