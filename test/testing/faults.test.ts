import assert from 'node:assert/strict';
import { describe, it } from 'vitest';
import type { DeliveryContext, Message, TimeoutError } from '../../src/index.js';
import { rejection } from '../eventually.js';
import { create } from './masters.js';

/** What a handler was called with: the data, and a star if it was told that it may have seen it. */
function book() {
  const calls: string[] = [];
  const handler = ({ data }: Message, { redelivered }: DeliveryContext) =>
    void calls.push(`${String(data)}${redelivered ? '*' : ''}`);
  return { calls, handler };
}

const BINDINGS = { bindings: ['a'] };

describe('a session that is dropped', () => {
  it('comes back: a durable queue has lost nothing, a transient subscriber is told of a gap', async () => {
    const master = await create();
    const other = await create({ broker: master.broker });
    const [durable, transient] = [book(), book()];
    const gaps: string[] = [];
    const states: string[] = [];
    master.on('gap', ({ reason }) => gaps.push(reason));
    master.on('session', ({ state }) => states.push(state));
    await master.consume('q', BINDINGS, durable.handler);
    await master.subscribe('a', transient.handler);
    await other.publish('a', 'before');
    await master.idle();
    master.faults.dropSession();
    await other.publish('a', 'meanwhile');
    await master.idle();
    await other.publish('a', 'after');
    await master.idle();
    assert.deepEqual(durable.calls, ['before', 'meanwhile', 'after']);
    assert.deepEqual(transient.calls, ['before', 'after']);
    assert.deepEqual([gaps, states], [['reconnect'], ['waiting', 'connecting', 'connected']]);
  });

  it('sends again what was under way, flagged, and its consumer sees it once', async () => {
    const master = await create();
    const { calls, handler } = book();
    await master.consume('q', BINDINGS, handler);
    master.faults.delay({ fromBrokerMs: 50 });
    const published = master.publish('a', 'x');
    master.faults.dropSession();
    assert.equal((await master.until(published)).outcome, 'confirmed');
    await master.idle();
    // The broker took both, and nobody had told the master of the first.
    assert.deepEqual(
      master.published.map(({ resent }) => resent),
      [false, true],
    );
    assert.deepEqual(calls, ['x*']);
  });

  it('gives its queue to a standby when the broker notices', async () => {
    const owner = await create();
    const standby = await create({ broker: owner.broker });
    await owner.consume('q', BINDINGS, () => {});
    const next = await standby.consume('q', BINDINGS, () => {});
    owner.faults.cutOff({ noticedAfterMs: 1_000 });
    await owner.clock.advance(999);
    assert.deepEqual([owner.status, next.status], ['waiting', 'standby']);
    await owner.clock.advance(1);
    assert.equal(next.status, 'active');
  });
});

describe('a cut-off', () => {
  it('lasts until it is ended; what is published meanwhile waits, or says that it was not sent', async () => {
    const master = await create();
    const { calls, handler } = book();
    await master.consume('q', BINDINGS, handler);
    const end = master.faults.cutOff();
    await master.clock.advance(0);
    const patient = master.publish('a', 'patient', { timeoutMs: 600_000 });
    const error = await master.until(rejection(master.publish('a', 'hasty', { timeoutMs: 1_000 })));
    assert.equal((error as TimeoutError).outcome, 'not-sent');
    await master.clock.advance(60_000);
    assert.equal(master.status, 'waiting');
    end();
    await master.until(patient);
    await master.idle();
    assert.deepEqual(calls, ['patient']);
  });
});

describe('a delay', () => {
  it('is what a word takes, there and back, on the virtual clock', async () => {
    const master = await create();
    const { calls, handler } = book();
    await master.consume('q', BINDINGS, handler);
    const end = master.faults.delay({ toBrokerMs: 30, fromBrokerMs: 70 });
    const began = master.clock.now();
    const published = master.publish('a', 'x');
    await master.clock.advance(29);
    assert.deepEqual([master.published.length, calls], [0, []]);
    await master.clock.advance(1);
    assert.deepEqual([master.published.length, calls], [1, []]);
    await master.until(published);
    assert.deepEqual([master.clock.now() - began, calls], [100, ['x']]);
    end();
    await master.idle();
    const later = master.clock.now();
    await master.publish('a', 'y');
    assert.equal(master.clock.now(), later);
  });

  it('that is drawn for each word keeps their order', async () => {
    const master = await create();
    const { calls, handler } = book();
    await master.consume('q', BINDINGS, handler);
    master.faults.delay({ toBrokerMs: [0, 20], fromBrokerMs: [0, 20] });
    const data = Array.from({ length: 50 }, (_, at) => String(at));
    const published = data.map((item) => master.publish('a', item));
    await master.until(Promise.all(published));
    await master.idle();
    assert.deepEqual(calls, data);
  });

  it('makes no sense below 0', async () => {
    const { faults } = await create();
    for (const wrong of [-1, NaN, Infinity, [3, 2] as const])
      assert.throws(() => faults.delay({ toBrokerMs: wrong }), { code: 'ERR_OPTION' });
    for (const wrong of [-1, 0.5, NaN])
      assert.throws(() => faults.loseConfirms(wrong), { code: 'ERR_OPTION' });
  });
});

describe('a confirm that is lost', () => {
  it('ends with the session: it is sent again, and a consumer whose ownership ended as well gets it flagged', async () => {
    const master = await create();
    const { calls, handler } = book();
    await master.consume('q', BINDINGS, handler);
    master.faults.loseConfirms();
    let isConfirmed = false;
    const published = master.publish('a', 'x').then(() => (isConfirmed = true));
    await master.idle();
    assert.deepEqual([isConfirmed, calls], [false, ['x']]);
    master.faults.dropSession();
    await master.until(published);
    await master.idle();
    assert.deepEqual(
      master.published.map(({ resent }) => resent),
      [false, true],
    );
    assert.deepEqual(calls, ['x', 'x*']);
  });

  it('of another master: the publish is sent again and the consumer sees it once', async () => {
    const consumer = await create();
    const publisher = await create({ broker: consumer.broker });
    const [durable, transient] = [book(), book()];
    await consumer.consume('q', BINDINGS, durable.handler);
    await consumer.subscribe('a', transient.handler);
    publisher.faults.loseConfirms(2);
    const published = Promise.all([publisher.publish('a', 1), publisher.publish('a', 2)]);
    await consumer.idle();
    publisher.faults.dropSession();
    await consumer.until(published);
    await publisher.publish('a', 3);
    await consumer.idle();
    assert.equal(publisher.published.length, 5);
    assert.deepEqual(
      [durable.calls, transient.calls],
      [
        ['1', '2', '3'],
        ['1', '2', '3'],
      ],
    );
  });

  it('ends at the deadline, which says that the outcome is unknown; a retry is the same message', async () => {
    const consumer = await create();
    const publisher = await create({ broker: consumer.broker });
    const { calls, handler } = book();
    await consumer.consume('q', BINDINGS, handler);
    publisher.faults.loseConfirms();
    const refused = rejection(publisher.publish('a', 'x', { timeoutMs: 1_000 }));
    const error = (await consumer.until(refused)) as TimeoutError;
    assert.deepEqual([error.code, error.outcome], ['ERR_TIMEOUT', 'unknown']);
    await error.retry();
    await consumer.idle();
    assert.deepEqual(calls, ['x']);
  });
});

describe('an ack that is lost', () => {
  it('brings the message again when the session has ended, flagged', async () => {
    const master = await create();
    const { calls, handler } = book();
    await master.consume('q', BINDINGS, handler);
    master.faults.loseAcks();
    await master.publish('a', 'x');
    await master.publish('a', 'y');
    await master.idle();
    assert.deepEqual([calls, (await master.queues())[0]!.depth], [['x', 'y'], 1]);
    master.faults.dropSession();
    await master.idle();
    assert.deepEqual([calls, (await master.queues())[0]!.depth], [['x', 'y', 'x*'], 0]);
    assert.deepEqual(
      master.handled.map(({ message, redelivered }) => [message.data, redelivered]),
      [
        ['x', false],
        ['y', false],
        ['x', true],
      ],
    );
  });
});

describe('a delivery that comes twice', () => {
  it('is handed over once within one ownership, whether the first is in hand or done', async () => {
    const master = await create();
    const calls: unknown[] = [];
    let end = () => {};
    await master.consume('q', BINDINGS, ({ data }) => {
      calls.push(data);
      if (data === 'held') return new Promise<void>((resolve) => (end = resolve));
      return undefined;
    });
    master.faults.duplicateDeliveries(2);
    await master.publish('a', 'held');
    await master.clock.advance(0);
    end();
    await master.publish('a', 'done at once');
    await master.idle();
    assert.deepEqual(calls, ['held', 'done at once']);
    assert.equal((await master.queues())[0]!.depth, 0);
  });
});

describe('publishes that are refused', () => {
  it('reject with the reason; acks go on', async () => {
    const master = await create();
    const { calls, handler } = book();
    const consumer = await master.consume('q', BINDINGS, handler);
    consumer.pause();
    await consumer.until('paused');
    await master.publish('a', 'x');
    const end = master.faults.refusePublishes();
    consumer.resume();
    await master.idle();
    assert.deepEqual([calls, (await master.queues())[0]!.depth], [['x'], 0]);
    assert.equal((await rejection(master.publish('a', 'y'))).code, 'ERR_BROKER_FULL');
    end();
    await master.publish('a', 'z');
    await master.idle();
    assert.deepEqual(calls, ['x', 'z']);
  });
});

describe('publishes that are blocked', () => {
  it('wait at the broker, which says so, and go on in their order', async () => {
    const master = await create();
    const { calls, handler } = book();
    const states: string[] = [];
    master.on('session', ({ state, reason }) => states.push(`${state} ${reason}`.trim()));
    await master.consume('q', BINDINGS, handler);
    const end = master.faults.blockPublishes('the disk is slow');
    const published = Promise.all([1, 2, 3].map((data) => master.publish('a', data)));
    await master.clock.advance(1_000);
    assert.deepEqual([calls, master.published.length], [[], 0]);
    end();
    await published;
    await master.idle();
    assert.deepEqual(calls, ['1', '2', '3']);
    assert.deepEqual(states, ['blocked the disk is slow', 'connected']);
  });

  it('end at their deadline; a session that is new is told as well', async () => {
    const master = await create();
    master.faults.blockPublishes();
    const error = await master.until(rejection(master.publish('a', 1, { timeoutMs: 500 })));
    assert.equal((error as TimeoutError).code, 'ERR_TIMEOUT');
    const states: string[] = [];
    master.on('session', ({ state }) => states.push(state));
    master.faults.dropSession();
    await master.clock.advance(1_000);
    assert.deepEqual(states, ['waiting', 'connecting', 'connected', 'blocked']);
    master.faults.clear();
    await master.publish('a', 2);
    assert.equal(states.at(-1), 'connected');
  });
});
