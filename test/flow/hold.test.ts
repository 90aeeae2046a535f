import { describe, expect, it } from 'vitest';
import type { DeliveryContext, Message } from '../../src/index.js';
import { Deferred } from '../../src/flow/deferred.js';
import { StoppedError } from '../../src/model/errors.js';
import { HoldLab } from './fake-broker.js';

/** A handler whose calls end when the test says so. */
function held() {
  const calls: { data: unknown; delivery: DeliveryContext; end: Deferred<void> }[] = [];
  const handler = ({ data }: Message, delivery: DeliveryContext) => {
    void delivery.signal;
    const end = new Deferred<void>();
    calls.push({ data, delivery, end });
    return end.promise;
  };
  return { calls, handler, data: () => calls.map((call) => call.data) };
}

describe('while the ownership has lapsed', () => {
  it('nothing is dispatched; then it goes on under the same epoch', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.ownership.state = 'lapsed';
    lab.deliver(1);
    await lab.pass(1_000);
    expect([data(), lab.said]).toEqual([[], []]);
    lab.ownership.answer('valid');
    await lab.pass();
    expect([data(), calls[0]!.delivery.epoch, lab.said]).toEqual([[1], 7, ['begin 1 of 1']]);
  });

  it('what a handler settled is kept, its signal is not aborted, and it is said afterwards', async () => {
    const { calls, handler } = held();
    const lab = await new HoldLab(handler, { concurrency: 3 }).begin();
    for (const data of [1, 2, 3]) lab.deliver(data);
    await lab.pass();
    lab.ownership.state = 'lapsed';
    calls[0]!.end.resolve();
    calls[1]!.delivery.settle!({ type: 'reject', reason: 'no' });
    await lab.pass();
    expect(calls.map(({ delivery }) => delivery.signal.aborted)).toEqual([false, false, false]);
    expect([lab.news(), lab.reported]).toEqual([[], []]);
    lab.ownership.answer('valid');
    await lab.pass();
    expect(lab.news().sort()).toEqual(['ack 1', 'reject for rejected 2']);
    expect(lab.reported).toEqual(['buried p-2 rejected 1']);
  });

  it('what was settled is never said when it turns out to have ended', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.deliver(1);
    lab.deliver(2);
    await lab.pass();
    lab.ownership.state = 'lapsed';
    calls[0]!.end.resolve();
    await lab.pass();
    lab.ownership.answer('ended');
    await lab.pass(10_000);
    expect([data(), lab.news()]).toEqual([[1], []]);
  });

  it('a call that is being noted begins when it is valid again', async () => {
    const { handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    const noted = new Deferred<void>();
    lab.deliver(1, { redelivered: true, attempt: 2, begin: () => noted.promise });
    await lab.pass();
    lab.ownership.state = 'lapsed';
    noted.resolve();
    await lab.pass();
    expect(data()).toEqual([]);
    lab.ownership.answer('valid');
    await lab.pass();
    expect(data()).toEqual([1]);
  });
});

describe('when the ownership has ended', () => {
  it('signals are aborted, and late settlements are ignored', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler, { concurrency: 2 }).begin();
    for (const data of [1, 2, 3]) lab.deliver(data);
    await lab.pass();
    const reason = new StoppedError('fenced');
    lab.ownership.state = 'ended';
    lab.hold.end(reason);
    expect(calls.map(({ delivery }) => delivery.signal.reason as unknown)).toEqual([reason, reason]);
    lab.news();
    calls[0]!.end.resolve();
    calls[1]!.delivery.settle!({ type: 'reject', reason: 'late' });
    calls[1]!.end.reject(new Error('late'));
    await lab.pass(10_000);
    expect([data(), lab.news(), lab.reported]).toEqual([[1, 2], [], []]);
    expect(lab.environment.clock.pending).toBe(0);
  });

  it('what it held and had not settled is no duplicate for the next', async () => {
    const { calls, handler } = held();
    const lab = await new HoldLab(handler, { concurrency: 2 }).begin();
    const never = new Promise<void>(() => {});
    lab.deliver('acked');
    lab.deliver('rejected', { reject: () => never });
    await lab.pass();
    calls[0]!.end.resolve();
    calls[1]!.delivery.settle!({ type: 'reject', reason: 'no' });
    lab.deliver('held');
    await lab.pass();
    lab.hold.end(new StoppedError('stopped'));
    const seen = (sequence: number) =>
      lab.duplicates.seen({ producer: 'p', sequence, open: [[1, Infinity]] }, 0);
    expect([seen(1), seen(2), seen(3)]).toEqual([true, false, false]);
  });

  it('nothing that comes later of its broker is heard', async () => {
    const { handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.hold.end(new StoppedError('stopped'));
    lab.deliver(1);
    lab.lose(new Error('late'));
    await lab.pass();
    expect([data(), lab.reported]).toEqual([[], []]);
  });
});

describe('an attempt', () => {
  it('is noted before the handler of a redelivered message is called', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    const noted = new Deferred<void>();
    lab.deliver(1, { redelivered: true, attempt: 3, begin: () => noted.promise });
    await lab.pass();
    expect([data(), lab.said]).toEqual([[], ['begin 3 of 1']]);
    noted.resolve();
    await lab.pass();
    expect([data(), calls[0]!.delivery.attempt]).toEqual([[1], 3]);
  });

  it('that is being noted takes a place, so that no more calls run than allowed', async () => {
    const { handler, data } = held();
    const lab = await new HoldLab(handler, { concurrency: 2 }).begin();
    const noted = new Deferred<void>();
    lab.deliver(1, { begin: () => noted.promise });
    for (const data of [2, 3]) lab.deliver(data);
    await lab.pass();
    expect(data()).toEqual([2]);
    noted.resolve();
    await lab.pass();
    expect(data()).toEqual([2, 1]);
  });

  it('that was noted and whose call did not begin before a stop does not count', async () => {
    for (const when of ['before', 'after'] as const) {
      const { handler, data } = held();
      const lab = await new HoldLab(handler).begin();
      const noted = new Deferred<void>();
      lab.deliver(1, { redelivered: true, attempt: 2, begin: () => noted.promise });
      await lab.pass();
      lab.hold.halt();
      if (when === 'before') noted.resolve();
      await lab.pass();
      // Nobody waits for a call that does not run.
      await lab.hold.quiet(new Promise(() => {}));
      lab.hold.end(new StoppedError('stopped'));
      await lab.hold.close();
      if (when === 'after') noted.resolve();
      await lab.pass();
      expect([data(), lab.news()]).toEqual([[], ['cut off 1', 'close']]);
    }
  });

  it('that could not be noted is none: the session is going', async () => {
    const { handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.deliver(1, { redelivered: true, begin: () => Promise.reject(new Error('gone')) });
    await lab.pass();
    expect([data(), lab.news()]).toEqual([[], []]);
  });

  it('that a stop cuts off does not count; one past its deadline does', async () => {
    const { handler } = held();
    const lab = await new HoldLab(handler, { concurrency: 2 }).begin();
    lab.deliver('late');
    await lab.pass(1_100);
    lab.deliver('cut off in time');
    await lab.pass();
    lab.hold.end(new StoppedError('stopped'));
    expect(lab.news()).toEqual(['cut off cut off in time']);
  });

  it('beyond attemptsMax is not made: the message is a dead letter', async () => {
    const { handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.deliver(1, { redelivered: true, attempt: 4 });
    await lab.pass();
    expect([data(), lab.said, lab.reported]).toEqual([
      [],
      ['reject for attempts 1'],
      ['buried p-1 attempts 3'],
    ]);
  });
});

describe('a retry', () => {
  it('comes after its delay, holds what is behind it, and ends as a dead letter', async () => {
    const calls: unknown[] = [];
    const lab = await new HoldLab(({ data }, { attempt, redelivered }) => {
      calls.push([data, attempt, redelivered]);
      if (data === 1) throw new Error('no');
    }).begin();
    lab.deliver(1);
    lab.deliver(2);
    await lab.pass(49);
    expect(calls).toEqual([[1, 1, false]]);
    await lab.pass(51);
    expect(calls).toEqual([
      [1, 1, false],
      [1, 2, true],
      [1, 3, true],
      [2, 1, false],
    ]);
    expect(lab.news()).toEqual(['reject for attempts 1', 'ack 2']);
    expect(lab.reported).toEqual([
      'failed 1 1 no',
      'failed 1 2 no',
      'failed 1 3 no',
      'buried p-1 attempts 3',
    ]);
  });

  it('asked for by a word comes after its delay, if that makes sense, else after the one of the policy', async () => {
    for (const [asked, comesAfter] of [
      [700, 700],
      [0, 1],
      [undefined, 50],
      [NaN, 50],
      [-5, 50],
      [Infinity, 2 ** 31 - 1],
      [2 ** 40, 2 ** 31 - 1],
    ] as const) {
      let calls = 0;
      const lab = await new HoldLab((_, { settle }) => {
        if (++calls === 1) settle!({ type: 'retry', ...(asked !== undefined && { delayMs: asked }) });
      }).begin();
      lab.deliver(1);
      await lab.pass(comesAfter - 1);
      expect(calls, `${asked}`).toBe(1);
      await lab.pass(1);
      expect(calls, `${asked}`).toBe(2);
    }
  });

  it('is made too when a handler settles by no settlement at all', async () => {
    let calls = 0;
    const lab = await new HoldLab((_, { settle }) => {
      if (++calls === 1) settle!({ type: 'akc' } as never);
    }).begin();
    lab.deliver(1);
    await lab.pass(50);
    expect([calls, lab.news()]).toEqual([2, ['ack 1']]);
    expect(lab.reported[0]).toMatch(/failed 1 1 .*akc/);
  });
});

describe('a copy', () => {
  it('of what is in hand is settled with it', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.deliver('first', { sequence: 1 });
    await lab.pass();
    lab.deliver('copy', { sequence: 1 });
    calls[0]!.end.resolve();
    await lab.pass();
    expect([data(), lab.news()]).toEqual([['first'], ['ack first', 'ack copy']]);
  });

  it('of what was settled before is acked without a call', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.deliver('first', { sequence: 1 });
    await lab.pass();
    calls[0]!.end.resolve();
    await lab.pass();
    lab.deliver('copy', { sequence: 1 });
    await lab.pass();
    expect([data(), lab.news()]).toEqual([['first'], ['ack first', 'ack copy']]);
  });
});

describe('a handler', () => {
  it('past its deadline is told, and keeps its lane; one that does not end is reported', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.deliver(1);
    lab.deliver(2);
    await lab.pass(1_100);
    expect(calls[0]!.delivery.signal.aborted).toBe(true);
    expect([data(), lab.reported]).toEqual([[1], []]);
    await lab.pass(600);
    expect(lab.reported).toEqual(['stuck 1']);
  });

  it('publishes under the ownership of the hold', async () => {
    const lab = await new HoldLab(() => {}).begin();
    expect(lab.fences).toEqual([lab.ownership]);
  });

  it('of a message that nobody can read is not called', async () => {
    const { handler, data } = held();
    const lab = await new HoldLab(handler).begin();
    lab.deliver('unreadable', { body: '{' });
    await lab.pass();
    expect([data(), lab.said]).toEqual([[], ['reject for undecodable unreadable']]);
  });
});

describe('what a former owner has published past the broker', () => {
  it('is acked, told of and not handled once a higher epoch of its queue was heard', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler, { concurrency: 9 }).begin();
    const fences = [
      { queue: 'a', epoch: 2 },
      { queue: 'b', epoch: 1 },
      { queue: 'a', epoch: 1 },
      { queue: 'a', epoch: 2 },
    ];
    for (const fence of fences) lab.deliver(`${fence.queue}${fence.epoch}`, { fence });
    lab.deliver('redelivered', { redelivered: true });
    await lab.pass();
    expect(data()).toEqual(['a2', 'b1', 'a2', 'redelivered']);
    expect([calls.length, lab.reported]).toEqual([4, ['former a1']]);
    expect(lab.said).toContain('ack a1');
  });
});

describe('lanes', () => {
  it('go on beside each other, each in order', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler, {
      concurrency: 3,
      orderBy: (message) => String(message.data)[0],
    }).begin();
    for (const data of ['a1', 'a2', 'b1', 'b2']) lab.deliver(data);
    await lab.pass();
    expect(data()).toEqual(['a1', 'b1']);
    calls[1]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual(['a1', 'b1', 'b2']);
    calls[0]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual(['a1', 'b1', 'b2', 'a2']);
    expect(lab.news()).toEqual(['ack b1', 'ack a1']);
  });
});
