import { connect } from 'amqplib';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createMaster, type Master, type MasterOptions } from '../src/index.js';
import { makeCertificate } from './brokers/certificates.js';
import { freePort } from './brokers/free-port.js';
import { rabbit } from './brokers/rabbit.js';
import { RabbitNode } from './brokers/rabbit-node.js';
import { rabbitServer } from './brokers/rabbit-server.js';
import { eventually, rejection } from './eventually.js';
import { SocketProxy } from './lab/proxy.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 90_000 });

const broker = await rabbit();

/** What a broker refuses for good is one typed error, and no other attempt is made. */
describe.skipIf(!broker)('RabbitMQ', () => {
  let node: RabbitNode;
  let tlsPort: number;
  let authority: Buffer;
  const folder = mkdtempSync(join(tmpdir(), 'sb-access-'));

  /** Erlang, in the broker. */
  const tell = (...calls: readonly string[]) => node.control('eval', `${calls.join(', ')}.`);
  const user = (name: string, rights: readonly [configure: string, write: string, read: string]) => [
    `rabbit_auth_backend_internal:add_user(<<"${name}">>, <<"secret">>, <<"test">>)`,
    allow(name, rights),
  ];
  const allow = (name: string, rights: readonly [configure: string, write: string, read: string]) =>
    `rabbit_auth_backend_internal:set_permissions(<<"${name}">>, <<"/">>, ${rights.map((right) => `<<"${right}">>`).join(', ')}, <<"test">>)`;
  const ALL = '^access\\\\..*';
  const urlOf = (who: string, port = node.port) => `amqp://${who}@127.0.0.1:${port}`;

  async function create(url: string | readonly string[], options: Partial<MasterOptions> = {}) {
    const master = await createMaster({
      name: 'a',
      broker: url,
      namespace: 'access',
      ownerTimeoutMs: 2_000,
      ...options,
    });
    onTestFinished(() => master.stop());
    return master;
  }

  /** Counts the connections that are tried. */
  async function counted(): Promise<{ proxy: SocketProxy; port: number }> {
    const proxy = await SocketProxy.listen({ at: 0, to: node.port });
    onTestFinished(() => proxy.close());
    return { proxy, port: proxy.port };
  }

  function sessionsOf(master: Master): string[] {
    const states: string[] = [];
    master.on('session', ({ state }) => states.push(state));
    return states;
  }

  beforeAll(async () => {
    const server = rabbitServer();
    if (server.missing !== undefined) throw new Error(`This needs a broker of its own. ${server.missing}`);
    const certificate = makeCertificate(folder);
    authority = certificate.authority;
    tlsPort = await freePort();
    const settings = [`listeners.ssl.1 = 127.0.0.1:${tlsPort}`, ...certificate.settings];
    node = await RabbitNode.start(server.program, { settings });
    await tell(
      ...user('unwriting', [ALL, '^access\\\\.(?!events).*|^amq\\\\.default$', ALL]),
      ...user('undirected', [ALL, ALL, ALL]),
      ...user('unreading', [ALL, `${ALL}|^amq\\\\.default$`, '^access\\\\.(?!events).*']),
      ...user('unmaking', ['^$', `${ALL}|^amq\\\\.default$`, ALL]),
      ...user('fallen', [ALL, `${ALL}|^amq\\\\.default$`, ALL]),
      ...user('renamed', [ALL, `${ALL}|^amq\\\\.default$`, ALL]),
    );
  });
  afterAll(async () => {
    await node?.close();
    rmSync(folder, { recursive: true });
  });

  it.each([
    ['a wrong password', 'guest:wrong', '', /user, password/],
    ['an unknown user', 'nobody:wrong', '', /user, password/],
    ['no such vhost', 'guest:guest', '/other', /other does not open this vhost/],
    ['no right to declare', 'unmaking:secret', '', /access\.control/],
    ['no right to publish', 'unwriting:secret', '', /access\.events/],
    ['no right to write to queues', 'undirected:secret', '', /amq\.default|default/],
  ])('says %s, once, and without the password', async (_, who, vhost, text) => {
    const { proxy, port } = await counted();
    const begun = performance.now();
    const error = await rejection(create(urlOf(who, port) + vhost));
    expect(error).toMatchObject({ code: 'ERR_ACCESS', retryable: false });
    expect(error.message).toMatch(text);
    expect(error.message).not.toMatch(/secret|:wrong/);
    expect(performance.now() - begun).toBeLessThan(5_000);
    await eventually('it leaves nothing', () => proxy.connections === 0);
    expect(proxy.accepted).toBeLessThanOrEqual(2);
  });

  it('says a right to read that is missing to whoever needs it, and goes on', async () => {
    await create(urlOf('guest:guest'));
    const master = await create(urlOf('unreading:secret'), { name: 'b' });
    const states = sessionsOf(master);
    const refusal = await rejection(master.subscribe('a.#', () => {}));
    expect(refusal).toMatchObject({ code: 'ERR_ACCESS' });
    expect(refusal.message).toMatch(/access\.events/);
    const queue = master.consume('unread', { bindings: ['a.#'] }, () => {});
    expect(await rejection(queue)).toMatchObject({ code: 'ERR_ACCESS' });
    await master.publish('a.b', 1);
    expect(states).toEqual([]);
    await master.deleteQueue('unread', { whileInUse: true });
  });

  it('ends a master whose right to publish was taken away', async () => {
    const { proxy, port } = await counted();
    const master = await create(urlOf('fallen:secret', port), { drainTimeoutMs: 500 });
    const states = sessionsOf(master);
    const done = rejection(master.done);
    await tell(allow('fallen', [ALL, '^$', ALL]));
    const publishing = rejection(master.publish('a.b', 1));
    expect(await done).toMatchObject({ code: 'ERR_ACCESS' });
    expect(await publishing).toBeInstanceOf(Error);
    expect(states.filter((state) => state === 'connected')).toEqual([]);
    await eventually('it leaves nothing', () => proxy.connections === 0);
    expect(proxy.accepted).toBe(2);
  });

  it('ends a master whose password was changed while it was away', async () => {
    const { proxy, port } = await counted();
    const master = await create(urlOf('renamed:secret', port));
    const done = rejection(master.done);
    await tell(`rabbit_auth_backend_internal:change_password(<<"renamed">>, <<"other">>, <<"test">>)`);
    proxy.reset();
    expect(await done).toMatchObject({ code: 'ERR_ACCESS' });
    expect(proxy.accepted).toBeLessThanOrEqual(4);
  });

  it('says what is different about an exchange of that name', async () => {
    const client = await connect(node.url);
    onTestFinished(() => client.close());
    const channel = await client.createChannel();
    await channel.assertExchange('fanned.events', 'fanout');
    const error = await rejection(create(urlOf('guest:guest'), { namespace: 'fanned' }));
    expect(error).toMatchObject({ code: 'ERR_QUEUE_SETTINGS', retryable: false });
    expect(error.message).toMatch(/"fanned\.events".*type: it has fanout, asked for topic/);
  });

  it('is spoken to over TLS, if it is who it says', async () => {
    const url = `amqps://guest:guest@localhost:${tlsPort}`;
    const master = await create(url, { tls: { ca: [authority] } });
    const got: unknown[] = [];
    await master.subscribe('a', ({ data }) => got.push(data));
    await master.publish('a', 1);
    await eventually('it arrives', () => got.length === 1);
    const untrusted = await rejection(create(url, { name: 'b' }));
    expect(untrusted).toMatchObject({ code: 'ERR_ACCESS' });
    expect(untrusted.message).toMatch(/certificate that is not trusted/);
    const another = await rejection(
      create(url.replace('localhost', '127.0.0.1'), { name: 'b', tls: { ca: [authority] } }),
    );
    expect(another.message).toMatch(/certificate that is not trusted/);
  });

  it('is reached by another of its URLs when one fails', async () => {
    const [first, second] = [await counted(), await counted()];
    const deaf = await freePort();
    const urls = [deaf, first.port, second.port].map((port) => urlOf('guest:guest', port));
    const master = await create(urls);
    expect([first.proxy.connections, second.proxy.connections]).toEqual([2, 0]);
    const states = sessionsOf(master);
    await first.proxy.close();
    await eventually('it is back', () => states.includes('connected'));
    expect(second.proxy.connections).toBe(2);
    await master.publish('a', 1);
  });
});
