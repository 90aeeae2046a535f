import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { pack } from 'msgpackr';
import { Told, Said } from '../src/backends/file/words.js';
import type { Delivery, Ownership } from '../src/backend.js';
import { fileBackend } from '../src/backends/file/index.js';
import { systemClock, systemEnvironment } from '../src/model/clock.js';
import type { Envelope } from '../src/model/message.js';
import { Payload } from '../src/model/payload.js';
import { Ledger } from '../src/testing/ledger.js';
import { eventually, rejection } from './eventually.js';
import type { HubProcess } from './lab/hub-process.js';
import type { LabMaster } from './lab/lab-master.js';
import { Laboratory } from './lab/laboratory.js';
import type { SocketProxy } from './lab/proxy.js';
import { RawClient } from './lab/raw-client.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 20_000 });

const clean = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };

/** The bytes of a run of messages under no claim. */
function run(...messages: Buffer[]): Buffer {
  const records = messages.flatMap((message) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.length);
    return [length, message];
  });
  return Buffer.concat([Buffer.alloc(32), ...records]);
}

/** What happens to a hub and its masters when the bytes between them are late, cut or nonsense. */
describe('file: a socket', () => {
  let lab: Laboratory;
  let hub: HubProcess;
  /** It goes straight to the hub, and nothing shall ever disturb it. */
  let bystander: LabMaster;
  let behind: LabMaster;
  let proxy: SocketProxy;
  let queue = 'q';
  let number = 0;

  beforeAll(async () => {
    lab = new Laboratory();
    bystander = await lab.master('bystander', { ownerTimeoutMs: 3_000 });
    await bystander.call('observe', { pattern: 'effects.#' });
    hub = await lab.hub();
    ({ master: behind, proxy } = await lab.masterBehindProxy('behind'));
  });
  beforeEach(() => {
    queue = `q${++number}`;
    lab.ledger = new Ledger();
  });
  afterAll(async () => {
    try {
      expect(lab.of('said', 'bystander').filter(({ event }) => event !== 'owner')).toEqual([]);
      await lab.verdict();
    } finally {
      await lab.close();
    }
  });

  const consume = () => ({ queue, bindings: [`${queue}.#`], effects: `effects.${queue}`, handlerMs: 1 });
  const publish = () => ({ topic: `${queue}.a`, producer: queue, queues: [queue] });
  const handled = (master?: string) =>
    lab.of('handled', master).filter((record) => record.queue === queue).length;
  const isWell = async () => {
    await lab.settled();
    expect(lab.ledger.judge({ leftBehind: 0 })).toMatchObject(clean);
    expect(await HubPid()).toBe(hub.pid);
  };
  const HubPid = async () => (await lab.hub()).pid;

  /** How far the clock of sessions in this process is ahead. */
  let lateMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + lateMs };
  const environment = { ...systemEnvironment, clock };

  /** Owns the queue by a session of this process, which finds the socket in that runtime folder. */
  async function own(master: string, deliveries: Delivery[], runtime = lab.runtime()) {
    const before = process.env['XDG_RUNTIME_DIR'];
    process.env['XDG_RUNTIME_DIR'] = runtime;
    const session = await fileBackend(lab.folder).connect({
      ...{ namespace: 'signalbox', master, incarnation: master, environment },
      ownerTimeoutMs: runtime === lab.runtime() ? 3_000 : 800,
      signal: new AbortController().signal,
      sink: { blocked() {}, unblocked() {}, warning() {} },
    });
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = before;
    const ownership = await new Promise<Ownership>((granted, lost) => {
      session.claim(queue, { granted, standby() {}, fenced() {}, lost, full() {} }).catch(lost);
    });
    await session.consume(
      queue,
      { prefetch: 10, ownership },
      { delivery: (delivery) => deliveries.push(delivery), lost() {} },
    );
    return { session, ownership };
  }

  const envelope = (topic: string): Envelope => ({
    ...{
      id: 'late-1',
      topic,
      time: 0,
      source: 'lab',
      headers: {},
      payload: Payload.of({}, { maxBytes: 100 }),
    },
    ...{ origin: undefined, resent: false, fence: undefined },
  });

  it('that is reset under load is connected again, and nothing is lost or out of order', async () => {
    await behind.call('consume', consume());
    await behind.call('start', { ...publish(), perSecond: 150 });
    for (let resets = 1; resets <= 5; resets++) {
      const before = handled();
      await eventually('messages flow', () => handled() > before + 10);
      proxy.reset();
    }
    await behind.call('stopPublishing', { producer: queue });
    await isWell();
    await behind.call('stopConsumer', { queue });
  });

  it('that is cut in the middle of a frame is the end of that connection only', async () => {
    await bystander.call('consume', consume());
    await behind.call('start', { ...publish(), perSecond: 150, bytes: 2_000 });
    for (const [bytes, direction] of [
      [3, 'toBroker'],
      [1_001, 'toBroker'],
      [2, 'fromBroker'],
      [7_777, 'toBroker'],
    ] as const) {
      const before = handled();
      await eventually('messages flow', () => handled() > before + 10);
      const said = lab.of('said', 'behind').length;
      proxy.cutAfter(bytes, direction);
      await eventually('the connection is cut', () => lab.of('said', 'behind').length > said);
    }
    await behind.call('stopPublishing', { producer: queue });
    await isWell();
    await bystander.call('stopConsumer', { queue });
  });

  for (const direction of ['toBroker', 'fromBroker'] as const)
    it(`of an owner that is frozen ${direction} fences it, and what comes late is refused`, async () => {
      await behind.call('consume', consume());
      await bystander.call('consume', consume());
      await bystander.call('start', { ...publish(), perSecond: 100 });
      await eventually('the owner handles', () => handled('behind') > 10);
      proxy.freeze(direction);
      await eventually('the standby handles', () => handled('bystander') > 10);
      proxy.thaw();
      await behind.call('until', { queue, status: 'standby' });
      await bystander.call('stopPublishing', { producer: queue });
      await isWell();
      await behind.call('stopConsumer', { queue });
      await bystander.call('stopConsumer', { queue });
    });

  it('of a former owner brings its late acks, saves and publishes to nobody', async () => {
    await bystander.call('consume', consume());
    await bystander.call('stopConsumer', { queue });
    await bystander.call('publish', { ...publish(), queues: [], count: 3 });
    const deliveries: Delivery[] = [];
    const { session, ownership } = await own('former', deliveries, lab.runtime('run-behind'));
    await eventually('it has them', () => deliveries.length === 3);
    proxy.freeze('toBroker', 'fromBroker');
    const late = [
      session.publish(envelope(`${queue}.late`), ownership),
      ownership.save(Buffer.from('late'), [deliveries[0]!]),
      deliveries[1]!.reject({ reason: 'rejected', error: 'late', attempts: 1, history: [] }),
    ].map(rejection);
    deliveries[2]!.ack();
    const again: Delivery[] = [];
    const { session: other, ownership: successor } = await own('successor', again);
    expect(successor.epoch).toBeGreaterThan(ownership.epoch);
    await eventually('all of them come again', () => again.length === 3);
    proxy.thaw();
    await Promise.all(late);
    expect(successor.checkpoint).toBeUndefined();
    expect(again.every(({ redelivered }) => redelivered)).toBe(true);
    expect(await other.queues()).toContainEqual(expect.objectContaining({ name: queue, depth: 3 }));
    await other.close();
  });

  it('takes the publish of an owner that has only lapsed', async () => {
    await bystander.call('consume', consume());
    await bystander.call('stopConsumer', { queue });
    const { session, ownership } = await own('lapsed', []);
    lateMs = 2_000;
    expect(ownership.valid()).toBe(false);
    await session.publish(envelope('nobody.listens'), ownership);
    lateMs = 0;
    await session.close();
  });

  it('that is slow costs time, and no promise', async () => {
    proxy.delayMs = 20;
    try {
      await behind.call('consume', consume());
      await behind.call('publish', { ...publish(), count: 20 });
      await isWell();
      await behind.call('stopConsumer', { queue });
    } finally {
      proxy.delayMs = 0;
    }
  });

  it('takes nonsense for the end of the connection that it came from', async () => {
    await bystander.call('consume', consume());
    await bystander.call('start', { ...publish(), perSecond: 100 });
    const path = hub.record.socket;
    const hello = pack([[Said.hello, 'x']]);
    const nonsense: [string, (client: RawClient) => void][] = [
      ['another protocol', (client) => client.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'))],
      ['zeros', (client) => client.write(Buffer.alloc(64))],
      ['a frame longer than any hello', (client) => client.frame(Buffer.alloc(5_000))],
      ['no MessagePack', (client) => client.frame(Buffer.from([0xc1, 0xc1, 0xc1]))],
      ['an array of four billion', (client) => client.frame(Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]))],
      ['deep nesting', (client) => client.frame(Buffer.alloc(4_000, 0x91))],
      ['a hello that is none', (client) => client.frame(hello)],
      ['another version', (client) => client.hello('raw', { protocol: 99 })],
      ['a bad name', (client) => client.hello('no good')],
      ['a name that is taken', (client) => client.hello('bystander')],
      ['no hello', (client) => client.say([Said.ping, 1])],
    ];
    for (const [what, say] of nonsense) {
      const client = await RawClient.connect(path);
      say(client);
      // Whatever follows changes nothing.
      client.hello(`raw-${number++}`);
      await eventually(`the hub ends whoever says ${what}`, () => client.isClosed);
      expect(client.heard.some(([kind]) => kind === Told.welcome)).toBe(false);
    }
    const endlessRun = Buffer.concat([
      Buffer.from([0xc1, Said.publish]),
      Buffer.alloc(32),
      Buffer.alloc(4, 0xff),
    ]);
    const welcomed: [string, (client: RawClient) => void][] = [
      ['a gigabyte and a half', (client) => client.write(Buffer.from([0x60, 0, 0, 0, 1]))],
      ['an unknown word', (client) => client.say([99, 1])],
      ['an unknown call', (client) => client.say([Said.call, 1, 'constructor'])],
      ['a publish without bytes', (client) => client.say([Said.publish, 't', 'text'])],
      [
        'a publish that is cut off',
        (client) => client.say([Said.publish, run(Buffer.alloc(9)).subarray(0, 40)]),
      ],
      ['a publish of no run', (client) => client.say([Said.publish, Buffer.alloc(31)])],
      ['a publish under no number', (client) => client.say([Said.publish, Buffer.alloc(32, 0xff)])],
      ['a message of four billion bytes', (client) => client.frame(endlessRun)],
      ['a run of nothing', (client) => client.frame(Buffer.from([0xc1]))],
      ['an ack of everything', (client) => client.say([Said.ack, 1, 1, 2 ** 40])],
    ];
    for (const [what, say] of welcomed) {
      const client = await RawClient.connect(path);
      client.hello(`raw-${number++}`);
      await eventually('it is welcome', () => client.heard.length > 0);
      say(client);
      await eventually(`the hub ends whoever says ${what}`, () => client.isClosed);
    }
    await bystander.call('stopPublishing', { producer: queue });
    await isWell();
    await bystander.call('stopConsumer', { queue });
  });

  it('answers nonsense of calls with errors, and keeps the session', async () => {
    const client = await RawClient.connect(hub.record.socket);
    client.hello('caller');
    const calls: [string, ...unknown[]][] = [
      ['declare', { name: 'no good', ownership: 'exclusive' }],
      ['declare', { name: 'x', ownership: 'nobody' }],
      ['declare', null],
      ['bind', 7, 'a.b'],
      ['bindQueue', 7, ['a']],
      ['save', 7, Buffer.alloc(1), []],
      ['consume', 1, 'missing', 10, null],
      ['claim', 1, 'missing'],
      ['reject', 1, 1, {}],
      ['letters', 'missing', ['x']],
      ['redrive', 'missing', null],
      ['remove', 'missing', false],
      ['claim', -1, 'missing'],
    ];
    calls.forEach(([name, ...args], at) => client.say([Said.call, at + 1, name, ...args]));
    const answers = () => client.heard.filter(([kind]) => kind === Told.failed || kind === Told.result);
    await eventually('each is answered', () => answers().length === calls.length);
    expect(answers().every(([kind]) => kind === Told.failed)).toBe(true);
    expect(client.isClosed).toBe(false);
    // What cannot be read as a message is a dead letter of its consumer, nobody's end.
    await bystander.call('consume', consume());
    const packed = Buffer.from(`\x01\x00${String.fromCharCode(queue.length + 2)}${queue}.a and nonsense`);
    client.say([Said.publish, run(packed)], [Said.publish, run(Buffer.alloc(0), Buffer.from([9, 0xff]))]);
    await bystander.call('publish', { ...publish(), count: 3 });
    await isWell();
    expect(lab.of('said', 'bystander').filter(({ event }) => event === 'dead-letter')).toHaveLength(1);
    lab.evidence.splice(0);
    await bystander.call('stopConsumer', { queue });
    await client.end();
  });

  it('of somebody who reads nothing is bounded in the hub, whatever is said to it', async () => {
    const client = await RawClient.connect(hub.record.socket);
    client.hello('deaf');
    client.say([Said.call, 1, 'listen', 1], [Said.call, 2, 'bind', 1, `${queue}.#`]);
    await eventually('it listens', () => client.heard.length >= 3);
    client.socket.pause();
    const before = hub.memory;
    let highest = before;
    const watch = setInterval(() => (highest = Math.max(highest, hub.memory)), 20);
    // Ten times what may wait for it.
    const load = { ...publish(), queues: [], count: 1_700, bytes: 100_000, inFlight: 50 };
    expect(await bystander.call('publish', load)).toMatchObject({ confirmed: 1_700 });
    // Its own questions, too: the answers go nowhere.
    const questions = Array.from({ length: 100 }, (_, at) => [Said.call, at + 10, 'queues'] as const);
    for (let round = 0; round < 500 && !client.isClosed; round++) {
      client.say(...questions);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await bystander.call('queues');
    clearInterval(watch);
    expect(highest - before).toBeLessThan(150e6);
    client.socket.resume();
    await client.end();
    expect(await HubPid()).toBe(hub.pid);
  });
});
