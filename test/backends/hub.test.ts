import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import type { Ownership } from '../../src/backend.js';
import { HubSession } from '../../src/backends/hub/hub-session.js';
import { Hub } from '../../src/backends/hub/hub.js';
import { noJournal } from '../../src/backends/hub/journal.js';
import { systemEnvironment, type Environment } from '../../src/model/clock.js';
import type { Envelope } from '../../src/model/message.js';
import { ClaimRecord, collect, ConsumerRecord, TransientRecord } from '../../src/testing/cases/records.js';
import { specOf } from '../../src/testing/cases/member.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { World, command, RUNS } from './hub-world.js';
import { payloadOf, envelopeOf } from './hub-envelopes.js';

describe('Hub', () => {
  for (const atOnce of [true, false])
    it(`does what a plain model allows, ${atOnce ? 'in memory' : 'with a journal that flushes now and then'}`, async () => {
      const kinds = new World(atOnce).commands.length;
      const commands = fc.array(command(kinds), { minLength: 1, maxLength: 120, size: 'max' });
      await fc.assert(
        fc.asyncProperty(commands, async (list) => {
          const world = new World(atOnce);
          world.start();
          for (const each of list) await world.run(each);
          await world.end();
        }),
        { numRuns: RUNS },
      );
    }, 120_000);

  it('keeps one order everywhere when a sink publishes from within the call', async () => {
    const session = await connect(newHub());
    const texts: string[][] = [[], [], [], []];
    const sinkOf = (heard: string[]) => ({
      message: ({ id, topic }: Envelope) => {
        heard.push(id);
        if (topic === 'question') void session.publish(envelopeOf(`answer to ${id}`, 'answer'));
      },
      missed: () => {},
    });
    for (const heard of texts.slice(0, 2)) await (await session.listen(sinkOf(heard))).bind('#');
    for (const [at, heard] of texts.slice(2).entries()) {
      const ownership = await own(session, `queue-${at}`);
      await session.consume(
        `queue-${at}`,
        { prefetch: 100, ownership },
        {
          delivery: ({ envelope }) => {
            heard.push(envelope.id);
            if (envelope.topic === 'question')
              void session.publish(envelopeOf(`${at} of ${envelope.id}`, 'answer'));
          },
          lost: () => {},
        },
      );
    }
    await session.publish(envelopeOf('one', 'question'));
    await session.publish(envelopeOf('two', 'question'));
    assert.equal(texts[0]!.length, 10);
    for (const heard of texts) assert.deepEqual(heard, texts[0]);
  });

  it('lets a sink answer every message with another, for as long as it likes', async () => {
    const session = await connect(newHub());
    let heard = 0;
    const queue = await session.listen({
      message: () => {
        if (++heard < 20_000) void session.publish(envelopeOf('again'));
      },
      missed: () => {},
    });
    await queue.bind('#');
    await session.publish(envelopeOf('first'));
    assert.equal(heard, 20_000);
  });

  it('keeps each of several dead letters with one id, which foreign messages may have', async () => {
    const session = await connect(newHub());
    const ownership = await own(session, 'queue');
    const sink = new ConsumerRecord();
    await session.consume('queue', { prefetch: 10, ownership }, sink);
    for (const data of ['one', 'other'])
      await session.publish({ ...envelopeOf('same'), payload: payloadOf(data) });
    for (const delivery of sink.deliveries)
      await delivery.reject({ reason: 'rejected', error: 'no', attempts: 1, history: [] });
    assert.equal((await collect(session.deadLetters('queue'))).length, 2);
    assert.equal(await session.redrive('queue', undefined), 2);
    assert.deepEqual(sink.data, ['one', 'other', 'one', 'other']);
  });

  it('has epochs that grow, and are not 0, though the wall clock says 1970', async () => {
    const { clock } = virtualEnvironment();
    clock.shiftWall(-clock.wall());
    const session = await connect(newHub({ ...systemEnvironment, clock }));
    const epochs: number[] = [];
    for (let grants = 0; grants < 3; grants++) {
      const ownership = await own(session, 'queue');
      epochs.push(ownership.epoch);
      await ownership.release();
    }
    assert(epochs[0]! > 0 && epochs[1]! > epochs[0]! && epochs[2]! > epochs[1]!, epochs.join());
  });

  it('keeps a checkpoint as it was when it was saved', async () => {
    const session = await connect(newHub());
    const checkpoint = Uint8Array.of(1, 2, 3);
    const ownership = await own(session, 'queue');
    await ownership.save(checkpoint, []);
    checkpoint[0] = 9;
    await ownership.release();
    // Neither side's array is the hub's.
    for (let owners = 0; owners < 2; owners++) {
      const found = await own(session, 'queue');
      assert.deepEqual(found.checkpoint, Uint8Array.of(1, 2, 3));
      found.checkpoint[0] = 9;
      await found.release();
    }
  });

  it('saves and acks as one, whatever a sink does in between', async () => {
    const hub = newHub();
    const [dies, next] = [await connect(hub, 'dies'), await connect(hub, 'next')];
    const ownership = await own(dies, 'queue');
    const sink = new ConsumerRecord((delivery) => {
      if (delivery.envelope.id === '3') dies.drop(new Error('The process has died.'));
    });
    await dies.consume('queue', { prefetch: 2, ownership }, sink);
    for (const id of ['1', '2', '3']) await dies.publish(envelopeOf(id)).catch(() => {});
    await ownership.save(Uint8Array.of(2), sink.deliveries.slice(0, 2)).catch(() => {});
    const successor = await own(next, 'queue');
    const left = new ConsumerRecord();
    await next.consume('queue', { prefetch: 10, ownership: successor }, left);
    assert.deepEqual(successor.checkpoint, Uint8Array.of(2));
    assert.deepEqual(
      left.deliveries.map(({ envelope }) => envelope.id),
      ['3'],
    );
  });

  it('tells nobody to stand by who owns the queue by then', async () => {
    const hub = newHub();
    const [one, two, three] = [await connect(hub, '1'), await connect(hub, '2'), await connect(hub, '3')];
    await one.declareQueue(specOf('queue'));
    const told = [new ClaimRecord(), new ClaimRecord(() => void one.close()), new ClaimRecord()] as const;
    await one.claim('queue', told[0]);
    await two.claim('queue', told[1]);
    await three.claim('queue', told[2]);
    await told[0].ownership!.bind(['#']).catch(() => {});
    assert.deepEqual(told[1].told, ['standby', 'granted']);
    await told[1].ownership!.bind(['#']);
    assert.deepEqual(told[2].holders.map(({ owner }) => owner).at(-1), '2');
  });

  it('tells nobody of a loss whose session has ended by then', async () => {
    const hub = newHub();
    const [one, other] = [await connect(hub, 'one'), await connect(hub, 'other')];
    await one.declareQueue(specOf('queue', { ownership: 'shared' }));
    const sinks = [new ConsumerRecord(), new ConsumerRecord()] as const;
    sinks[0].lost = () => other.drop(new Error('The process has died.'));
    await one.consume('queue', { prefetch: 1, ownership: undefined }, sinks[0]);
    await other.consume('queue', { prefetch: 1, ownership: undefined }, sinks[1]);
    const told = new ClaimRecord();
    await other.claim('queue', told);
    await one.deleteQueue('queue', { whileInUse: true });
    assert.deepEqual([sinks[1].losses, told.told], [[], ['granted']]);
  });

  it('goes on after a sink that throws, though none may', async () => {
    const session = await connect(newHub());
    const broken = await session.listen({
      message: () => {
        throw new Error('This is no sink.');
      },
      missed: () => {},
    });
    await broken.bind('a');
    // However the call ends.
    await Promise.resolve()
      .then(() => session.publish(envelopeOf('1', 'a')))
      .catch(() => {});
    await broken.close();
    const sink = new TransientRecord();
    await (await session.listen(sink)).bind('b');
    await session.publish(envelopeOf('2', 'b'));
    assert.deepEqual(sink.data, ['2']);
  });

  it('lets a shared queue be consumed whoever keeps it', async () => {
    const session = await connect(newHub());
    await session.declareQueue(specOf('queue', { ownership: 'shared' }));
    const told = new ClaimRecord();
    await session.claim('queue', told);
    await told.ownership!.bind(['#']);
    const sink = new ConsumerRecord();
    await session.consume('queue', { prefetch: 1, ownership: told.ownership }, sink);
    await told.ownership!.release();
    await session.publish(envelopeOf('1'));
    assert.deepEqual(sink.data, ['1']);
  });

  it('leaves bindings as they were when one of the new ones is no pattern', async () => {
    const session = await connect(newHub());
    const ownership = await own(session, 'queue');
    await assert.rejects(ownership.bind(['a', '..']));
    await ownership.bind(['b']);
    assert.deepEqual((await session.queues())[0]!.bindings, ['b']);
    await session.deleteQueue('queue', { whileInUse: true });
  });

  it('waits for months if that is what a queue says', async () => {
    const { clock } = virtualEnvironment();
    const delays: number[] = [];
    const setTimeout = (callback: () => void, delayMs: number) => {
      delays.push(delayMs);
      return clock.setTimeout(callback, delayMs);
    };
    const { now, wall, clearTimeout } = clock;
    const environment = { ...systemEnvironment, clock: { now, wall, clearTimeout, setTimeout } };
    const session = await connect(newHub(environment));
    const day = 24 * 3_600_000;
    await session.declareQueue(specOf('queue', { expiresMs: 90 * day }));
    await clock.advance(90 * day - 1);
    assert.equal(await session.findQueue('queue'), true);
    await clock.advance(1);
    assert.equal(await session.findQueue('queue'), false);
    // Node would take a longer delay for 1 ms.
    assert(Math.max(...delays) < 2 ** 31);
  });
});

function newHub(environment: Environment = virtualEnvironment()): Hub {
  return new Hub(environment, noJournal);
}

async function connect(hub: Hub, master = 'master'): Promise<HubSession> {
  return new HubSession(hub, master, 'incarnation', () => Promise.resolve());
}

/** Declares, claims and binds everything. */
async function own(session: HubSession, queue: string): Promise<Ownership> {
  await session.declareQueue(specOf(queue));
  const told = new ClaimRecord();
  await session.claim(queue, told);
  await told.ownership!.bind(['#']);
  return told.ownership!;
}
