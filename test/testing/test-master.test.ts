import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import {
  createMaster,
  defineMessages,
  RejectError,
  type,
  type DeliveryContext,
  type Message,
} from '../../src/index.js';
import { createTestBroker } from '../../src/testing/test-broker.js';
import { createTestMaster } from '../../src/testing/test-master.js';
import { rejection } from '../eventually.js';
import { create } from './masters.js';

const BINDINGS = { bindings: ['a.#'] };

describe('a test master', () => {
  it('is made in a line, is the same in every run, and leaves nothing', async () => {
    const run = async () => {
      await using master = await createTestMaster();
      const { id } = await master.publish('a', 1);
      return { id, name: master.name, wall: master.clock.wall(), clock: master.clock };
    };
    const [one, other] = [await run(), await run()];
    assert.deepEqual({ ...one, clock: 0 }, { ...other, clock: 0 });
    assert.deepEqual([one.name, one.clock.pending], ['master-1', 0]);
    const seeded = await create({ seed: 2, name: 'other' });
    assert.notEqual((await seeded.publish('a', 1)).id, one.id);
  });

  it('shows what was published, handled and dead-lettered, of itself and of all', async () => {
    const one = await create();
    const two = await create({ broker: one.broker });
    await one.consume('q', { ...BINDINGS, retry: { attemptsMax: 2 } }, ({ data }) => {
      if (data === 'bad') throw new Error('no good');
      if (data === 'worse') throw new RejectError('not at all');
    });
    await two.subscribe('a.b', () => {});
    for (const data of ['good', 'bad', 'worse']) await two.publish('a.b', data);
    await two.idle();
    assert.deepEqual(
      two.published.map(({ message, master }) => [message.topic, message.data, master]),
      ['good', 'bad', 'worse'].map((data) => ['a.b', data, 'master-2']),
    );
    assert.deepEqual(
      one.handled.map(({ message, queue, attempt, redelivered }) => [
        message.data,
        queue,
        attempt,
        redelivered,
      ]),
      [['good', 'q', 1, false]],
    );
    assert.deepEqual(
      one.deadLettered.map(({ message, reason, error, attempts }) => [message.data, reason, error, attempts]),
      [
        ['bad', 'attempts', 'no good', 2],
        ['worse', 'rejected', 'not at all', 1],
      ],
    );
    assert.deepEqual([one.published, two.deadLettered], [[], []]);
    assert.deepEqual(
      two.handled.map(({ message, queue }) => [message.data, queue]),
      ['good', 'bad', 'worse'].map((data) => [data, undefined]),
    );
    assert.equal(one.broker.handled.length, 4);
  });

  it('is typed by a catalogue, as a master is; without it by untyped', async () => {
    const messages = defineMessages({ 'orders.:id.new': type<{ total: number }>() });
    const master = await create({ messages });
    const totals: [string, number][] = [];
    await master.consume('q', { bindings: ['orders.*.new'] }, ({ params, data }) => {
      totals.push([params.id, data.total]);
    });
    await master.untyped.subscribe('other', () => {});
    await master.publish('orders.17.new', { total: 3 });
    await master.untyped.publish('other', 1);
    await master.idle();
    // @ts-expect-error No key of the catalogue fits.
    assert.equal((await rejection(master.publish('order.17', {}))).code, 'ERR_UNKNOWN_TOPIC');
    assert.deepEqual([totals, master.handled.length], [[['17', 3]], 2]);
  });

  it('refuses what makes no sense as a master does', async () => {
    const { broker } = await create();
    assert.equal((await rejection(create({ broker, seed: 3 }))).code, 'ERR_OPTION');
    assert.equal((await rejection(create({ broker, time: 'real' }))).code, 'ERR_OPTION');
    assert.equal((await rejection(create({ broker, name: 'master-1' }))).code, 'ERR_MASTER_NAME_TAKEN');
    assert.equal((await rejection(create({ limit: 1 } as never))).code, 'ERR_OPTION');
    const master = await create();
    assert.equal((await rejection(master.subscribe('a', undefined as never))).code, 'ERR_OPTION');
  });

  it('is given up by its signal', async () => {
    const { broker } = await create();
    const controller = new AbortController();
    const reason = new Error('enough');
    broker.faultsOf('late').cutOff();
    const starting = rejection(createTestMaster({ broker, name: 'late', signal: controller.signal }));
    controller.abort(reason);
    assert.equal(await starting, reason);
    await broker.clock.advance(60_000);
    assert.equal(broker.clock.pending, 0);
  });

  it('shares a hub that has a name, and its broker with a plain master', async () => {
    const broker = createTestBroker({ name: 'shop' });
    const tested = await create({ broker });
    const plain = await createMaster({ name: 'plain', broker, environment: broker.environment });
    const byName = await createMaster({ name: 'by-name', broker: 'memory:shop' });
    await plain.consume('q', BINDINGS, () => {});
    await byName.publish('a.b', 1);
    await tested.idle();
    assert.deepEqual(
      broker.handled.map(({ master, message }) => [master, message.data]),
      [['plain', 1]],
    );
    assert.equal((await tested.queues())[0]!.name, 'q');
    await plain.stop();
    await tested.deleteQueue('q');
    await byName.stop();
  });

  it('takes the time of the machine when it is told to', async () => {
    const master = await create({ time: 'real' });
    const calls: number[] = [];
    const retry = { minDelayMs: 20, maxDelayMs: 20 };
    await master.consume('q', { ...BINDINGS, retry }, (_, { attempt }) => {
      calls.push(attempt);
      if (attempt < 3) throw new Error('not yet');
    });
    await master.publish('a', 1);
    await master.idle();
    assert.deepEqual(calls, [1, 2, 3]);
    const began = Date.now();
    await master.clock.advance(20);
    assert(Date.now() - began >= 18);
  });

  it('is stopped though a handler never ends, and though its broker is cut off', async () => {
    const master = await create({ drainTimeoutMs: 500 });
    await master.consume('q', BINDINGS, () => new Promise(() => {}));
    await master.publish('a', 1);
    await master.clock.advance(0);
    const began = master.clock.now();
    await master[Symbol.asyncDispose]();
    assert.equal(master.clock.now() - began, 500);
    const cutOff = await create();
    cutOff.faults.cutOff();
    const refused = rejection(cutOff.publish('a', 1));
    await cutOff[Symbol.asyncDispose]();
    assert.equal((await refused).code, 'ERR_STOPPED');
  });
});

describe('a test master with a spool', () => {
  it('keeps on disk what the broker does not take, and is idle when that is sent', async () => {
    const spool = mkdtempSync(join(tmpdir(), 'signalbox-test-master-'));
    const shop = await create({ spool });
    const books = await create({ broker: shop.broker });
    await books.consume('q', BINDINGS, () => {});
    const mend = shop.faults.cutOff();
    await shop.clock.advance(0);
    const published = [1, 2, 3].map((data) => shop.publish('a', data, { timeoutMs: 100 }));
    assert.deepEqual(
      (await shop.until(Promise.all(published))).map(({ outcome }) => outcome),
      ['spooled', 'spooled', 'spooled'],
    );
    mend();
    await shop.idle();
    assert.deepEqual(
      books.handled.map(({ message }) => message.data),
      [1, 2, 3],
    );
    await shop[Symbol.asyncDispose]();
    rmSync(spool, { recursive: true });
  });
});

describe('idle', () => {
  it('lets time pass for retries, and stops as soon as all is done', async () => {
    const master = await create();
    await master.consume('q', BINDINGS, (_, { attempt }) => {
      if (attempt < 10) throw new Error('not yet');
    });
    await master.publish('a', 1);
    await master.idle();
    assert.equal(master.handled[0]!.attempt, 10);
    const now = master.clock.now();
    await master.idle();
    assert.equal(master.clock.now(), now);
  });

  it('leaves alone what nobody consumes, and what is paused', async () => {
    const master = await create();
    await (await master.consume('left', BINDINGS, () => {})).stop();
    const paused = await master.consume('paused', BINDINGS, () => {});
    paused.pause();
    await paused.until('paused');
    await master.publish('a', 1);
    await master.idle();
    assert.deepEqual(
      (await master.queues()).map(({ depth }) => depth),
      [1, 1],
    );
  });

  it('lets time stand still while a handler is about something real', async () => {
    const master = await create();
    let read = '';
    const handler = async () => {
      read = await readFile(import.meta.filename, 'utf8');
    };
    const consumed = await master.consume('q', { ...BINDINGS, handlerTimeoutMs: 10 }, handler);
    await master.subscribe('b', handler);
    const began = master.clock.now();
    await master.publish('a', 1);
    await master.idle();
    assert(read.includes('idle'));
    await consumed.stop();
    read = '';
    await master.publish('b', 1);
    await master.idle();
    assert(read.includes('idle'));
    assert.deepEqual([master.handled.length, master.clock.now()], [2, began]);
  });

  it('lets it pass while a handler waits for the broker', async () => {
    const master = await create();
    master.faults.delay({ fromBrokerMs: 100 });
    await master.until(master.consume('q', BINDINGS, (_, delivery) => delivery.publish('b', 1)));
    await master.until(master.publish('a', 1));
    await master.idle();
    assert.deepEqual(
      master.published.map(({ message }) => message.topic),
      ['a', 'b'],
    );
    master.faults.clear();
  });

  it('says what is not done', async () => {
    const master = await create({ drainTimeoutMs: 10 });
    await master.consume('q', { ...BINDINGS, retry: { attemptsMax: 1_000 } }, () => {
      throw new Error('never');
    });
    const { id } = await master.publish('a', 1);
    const never = await rejection(master.idle({ timeoutMs: 60_000 }));
    assert.equal(never.code, 'ERR_DEADLINE');
    assert.match(never.message, /60000 ms.*queue "q" holds 1/);
    await master.deleteQueue('q', { whileInUse: true });
    await master.consume('q2', BINDINGS, () => new Promise(() => {}));
    const second = await master.publish('a.b', 1);
    const hanging = await rejection(master.idle({ patienceMs: 50 }));
    assert.match(
      hanging.message,
      new RegExp(`handler of queue "q2" runs with message ${second.id} \\(a\\.b\\)`),
    );
    assert.notEqual(id, second.id);
    master.faults.cutOff();
    assert.match((await rejection(master.idle({ timeoutMs: 60_000 }))).message, /"master-1" has no session/);
  });
});

describe('a master that crashes', () => {
  it('leaves its queue to another, which gets what it had begun, flagged; its name is free', async () => {
    const one = await create();
    const two = await create({ broker: one.broker });
    const calls: [string, unknown, boolean][] = [];
    const running: DeliveryContext[] = [];
    const handler = ({ data }: Message, delivery: DeliveryContext) => {
      calls.push([delivery.master, data, delivery.redelivered]);
      if (delivery.master !== one.name) return undefined;
      running.push(delivery);
      return new Promise<void>(() => {});
    };
    await one.consume('q', BINDINGS, handler);
    await two.consume('q', BINDINGS, handler);
    for (const data of [1, 2]) await two.publish('a', data);
    await one.clock.advance(0);
    const began = one.clock.now();
    const done = rejection(one.done);
    one.crash();
    await two.idle();
    assert.deepEqual(calls, [
      ['master-1', 1, false],
      ['master-2', 1, true],
      // Of what a dead process had in hand nobody knows whether it had begun.
      ['master-2', 2, true],
    ]);
    assert.equal(one.clock.now(), began, 'a take-over takes no time');
    const late = rejection(running[0]!.publish('b', 'late'));
    await one.clock.advance(2_000);
    assert.deepEqual(
      [one.status, (await done).code, running[0]!.signal.aborted],
      ['failed', 'ERR_STOPPED', true],
    );
    assert.match((await late).code!, /ERR_(STOPPED|FENCED)/);
    assert.deepEqual(
      two.broker.published.map(({ message }) => message.data),
      [1, 2],
    );
    const again = await create({ broker: one.broker, name: one.name });
    await again.publish('a', 3);
    await two.idle();
    assert.equal(calls.at(-1)![1], 3);
  });

  it('is the one that has the name, not one that was refused it', async () => {
    const one = await create();
    const { broker } = one;
    assert.equal((await rejection(create({ broker, name: one.name }))).code, 'ERR_MASTER_NAME_TAKEN');
    one.crash();
    await one.clock.advance(60_000);
    assert.equal(one.status, 'failed');
    assert.equal((await create({ broker, name: one.name })).status, 'ready');
  });

  it('may crash while it is frozen or cut off, and twice', async () => {
    const [frozen, cutOff] = [await create(), await create()];
    frozen.freeze();
    frozen.crash();
    cutOff.faults.cutOff();
    cutOff.crash();
    cutOff.crash();
    for (const master of [frozen, cutOff]) {
      await master.clock.advance(2_000);
      assert.match(master.status, /failed|stopped/);
      master.thaw();
    }
  });
});

describe('a master that freezes', () => {
  async function pair() {
    const one = await create({ ownerTimeoutMs: 3_000 });
    const two = await create({ broker: one.broker });
    const calls: [string, unknown, boolean][] = [];
    const deliveries: DeliveryContext[] = [];
    let end = () => {};
    const handler = ({ data }: Message, delivery: DeliveryContext) => {
      calls.push([delivery.master, data, delivery.redelivered]);
      deliveries.push(delivery);
      if (data === 'long' && delivery.master === one.name)
        return new Promise<void>((resolve) => (end = resolve));
      return undefined;
    };
    const options = { ...BINDINGS };
    const first = await one.consume('q', options, handler);
    const second = await two.consume('q', options, handler);
    return { one, two, first, second, calls, deliveries, end: () => end() };
  }

  it('loses its queue after ownerTimeoutMs, and what it does when it thaws is refused', async () => {
    const { one, two, first, second, calls, deliveries, end } = await pair();
    await two.publish('a', 'long');
    await two.publish('a', 'next');
    await one.clock.advance(0);
    one.freeze();
    end();
    await one.clock.advance(2_999);
    assert.deepEqual([first.status, second.status, calls.length], ['active', 'standby', 1]);
    await one.clock.advance(1);
    assert.equal(second.status, 'active');
    await two.idle();
    const late = rejection(deliveries[0]!.publish('b', 'late'));
    one.thaw();
    await one.until(first.until('standby'));
    assert.equal((await late).code, 'ERR_FENCED');
    await two.idle();
    assert.deepEqual(calls, [
      ['master-1', 'long', false],
      ['master-2', 'long', true],
      ['master-2', 'next', true],
    ]);
    assert.deepEqual(
      two.broker.published.map(({ message }) => message.topic),
      ['a', 'a'],
    );
  });

  it('goes on under the same epoch when it thaws in time', async () => {
    const { one, two, first, calls, deliveries, end } = await pair();
    await two.publish('a', 'long');
    await two.publish('a', 'next');
    await one.clock.advance(0);
    one.freeze();
    end();
    await one.clock.advance(2_000);
    one.thaw();
    await two.idle();
    assert.deepEqual(
      [first.status, calls],
      [
        'active',
        [
          ['master-1', 'long', false],
          ['master-1', 'next', false],
        ],
      ],
    );
    assert.equal(deliveries[0]!.epoch, deliveries[1]!.epoch);
  });

  it('hears, is called and is timed out only when it thaws', async () => {
    const one = await create({ ownerTimeoutMs: 60_000 });
    const two = await create({ broker: one.broker });
    const heard: unknown[] = [];
    await one.subscribe('a', ({ data }) => void heard.push(data));
    await one.consume('q', { ...BINDINGS, ownership: 'shared' }, ({ data }) => void heard.push(data));
    one.freeze();
    await two.publish('a', 1);
    const timeout = rejection(one.publish('b', 1, { timeoutMs: 1_000 }));
    let code: string | undefined;
    void timeout.then((error) => (code = error.code));
    await one.clock.advance(30_000);
    assert.deepEqual([heard, code], [[], undefined]);
    one.thaw();
    await two.idle();
    assert.deepEqual(heard, [1, 1]);
  });
});
