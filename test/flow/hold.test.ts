import { describe, expect, it } from 'vitest';
import type { DeliveryContext, Message } from '../../src/index.js';
import type { HandlerFunction } from '../../src/flow/handler.js';
import { Deferred } from '../../src/flow/deferred.js';
import { BrokerFullError, SessionLostError, StoppedError, UnsupportedError } from '../../src/model/errors.js';
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
    expect([lab.news(), lab.reported]).toEqual([[], ['failed 2 1 no']]);
    lab.ownership.answer('valid');
    await lab.pass();
    expect(lab.news().sort()).toEqual(['ack 1', 'reject for rejected 2']);
    expect(lab.reported).toEqual(['failed 2 1 no', 'buried p-2 rejected 1']);
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
    await lab.pass(50);
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
    await lab.pass(50);
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
      await lab.pass(50);
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

describe('a failure is told', () => {
  it('of an attempt that ends by a word, as of one that throws', async () => {
    const lab = await new HoldLab(({ data }, { settle, attempt }) => {
      if (attempt === 1) settle!({ type: 'retry' });
      else if (data === 1) settle!({ type: 'reject', reason: 'no good' });
    }).begin();
    lab.deliver(1);
    lab.deliver(2);
    await lab.pass(200);
    expect(lab.reported).toEqual([
      'failed 1 1 The handler asked to be called again.',
      'failed 1 2 no good',
      'failed 2 1 The handler asked to be called again.',
      'buried p-1 rejected 2',
    ]);
    expect(lab.news()).toEqual(['reject for rejected 1', 'ack 2']);
  });

  it('once for each attempt, also when the handler throws after its word', async () => {
    const lab = await new HoldLab(({ data }, { settle, attempt }) => {
      if (attempt > 1) return;
      settle!(data === 'retry' ? { type: 'retry', delayMs: 10 } : { type: 'reject', reason: 'first' });
      throw new Error('then');
    }).begin();
    lab.deliver('reject');
    lab.deliver('retry');
    await lab.pass(10);
    expect(lab.reported.filter((report) => report.startsWith('failed'))).toEqual([
      'failed reject 1 first',
      'failed retry 1 then',
    ]);
    expect(lab.news()).toEqual(['reject for rejected reject', 'ack retry']);
  });

  it('of what is thrown after an early ack, and the message stays acked', async () => {
    const lab = await new HoldLab(async (_, { settle }) => {
      settle!({ type: 'ack' });
      await Promise.resolve();
      throw new Error('afterwards');
    }).begin();
    lab.deliver(1);
    await lab.pass(60_000);
    expect([lab.news(), lab.reported]).toEqual([['ack 1'], ['failed 1 1 afterwards']]);
  });
});

describe('orderBy that throws', () => {
  it('is a failed attempt of its message, which holds what is behind it', async () => {
    const { handler, data } = held();
    const lab = await new HoldLab(handler, {
      orderBy: (message) => {
        if (message.data === 1) throw new Error('no key');
        return 'key';
      },
    }).begin();
    lab.deliver(1);
    lab.deliver(2);
    await lab.pass(99);
    expect([data(), lab.reported]).toEqual([[], ['failed 1 1 no key', 'failed 1 2 no key']]);
    await lab.pass(1);
    expect(lab.reported.slice(2)).toEqual(['failed 1 3 no key', 'buried p-1 attempts 3']);
    expect(lab.said).toEqual([
      'begin 1 of 1',
      'begin 2 of 1',
      'begin 3 of 1',
      'reject for attempts 1',
      'begin 1 of 2',
    ]);
  });

  it('and later does not has its message wait for its turn in its lane', async () => {
    const { calls, handler, data } = held();
    let throws = true;
    const lab = await new HoldLab(handler, {
      concurrency: 2,
      onFailure: 'pass',
      orderBy: (message) => {
        if (message.data === 1 && throws) throw new Error('no key');
        return 'key';
      },
    }).begin();
    lab.deliver(1);
    lab.deliver(2);
    await lab.pass();
    throws = false;
    await lab.pass(50);
    expect(data()).toEqual([2]);
    calls[0]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual([2, 1]);
    expect(calls[1]!.delivery.attempt).toBe(2);
  });
});

describe('a message whose calls have begun and come to no end that anybody knows', () => {
  const suspect = { attempt: 3, redelivered: true };
  const settings = { concurrency: 3, retry: { attemptsMax: 9, minDelayMs: 10, maxDelayMs: 10 } };

  it('runs alone: nothing runs when it begins, and nothing begins beside it', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler, settings).begin();
    for (const data of [1, 2]) lab.deliver(data);
    await lab.pass();
    lab.deliver('suspect', suspect);
    lab.deliver(3);
    await lab.pass(50);
    expect(data()).toEqual([1, 2]);
    calls[0]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual([1, 2]);
    calls[1]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual([1, 2, 'suspect']);
    calls[2]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual([1, 2, 'suspect', 3]);
  });

  it('keeps others from beginning while its attempt is being noted, and while a call runs that has said its word', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler, settings).begin();
    const noted = new Deferred<void>();
    lab.deliver('suspect', { ...suspect, begin: () => noted.promise });
    lab.deliver(1);
    await lab.pass(50);
    expect(data()).toEqual([]);
    noted.resolve();
    await lab.pass();
    calls[0]!.delivery.settle!({ type: 'ack' });
    await lab.pass();
    expect(data()).toEqual(['suspect']);
    calls[0]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual(['suspect', 1]);
  });

  it('is one as others once a call of it has failed', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler, { ...settings, onFailure: 'pass' }).begin();
    lab.deliver('suspect', suspect);
    await lab.pass(50);
    for (const data of [1, 2]) lab.deliver(data);
    await lab.pass();
    calls[0]!.end.reject(new Error('no'));
    await lab.pass(50);
    expect(data()).toEqual(['suspect', 1, 2, 'suspect']);
  });

  it('does not keep others waiting when only its lane is missing', async () => {
    const orderBy = () => {
      throw new Error('no lane');
    };
    const lab = await new HoldLab(() => {}, { ...settings, onFailure: 'pass', orderBy }).begin();
    lab.deliver('suspect', suspect);
    lab.deliver(1);
    await lab.pass(20);
    expect(lab.reported).toContain('failed 1 1 no lane');
  });

  it('is what two calls have left so, or one before the last attempt', async () => {
    const began = async (attempt: number, attemptsMax: number) => {
      const { handler, data } = held();
      const retry = { ...settings.retry, attemptsMax };
      const lab = await new HoldLab(handler, { ...settings, retry }).begin();
      lab.deliver('first', { attempt, redelivered: true });
      lab.deliver('second');
      await lab.pass(50);
      return data().length;
    };
    expect(await began(2, 9)).toBe(2);
    expect(await began(3, 9)).toBe(1);
    expect(await began(2, 2)).toBe(1);
  });

  it('is none whose calls this master has seen fail, or has cut off', async () => {
    const throwing: HandlerFunction = () => {
      throw new Error('no');
    };
    const first = await new HoldLab(throwing, { ...settings, concurrency: 1 }).begin();
    first.deliver(1, { sequence: 1, redelivered: true, attempt: 2 });
    await first.pass(0);
    first.hold.end(new StoppedError('paused'));
    const { handler, data } = held();
    const second = await new HoldLab(handler, settings, first).begin();
    second.deliver(1, { sequence: 1, redelivered: true, attempt: 3 });
    second.deliver(2, { sequence: 2 });
    await second.pass(50);
    expect(data()).toEqual([1, 2]);
    // The session is lost: nothing is noted as cut off, and the calls have begun for the broker.
    second.hold.end(new SessionLostError('gone'));
    const third = await new HoldLab(handler, settings, second).begin();
    third.deliver(1, { sequence: 1, redelivered: true, attempt: 4 });
    third.deliver(2, { sequence: 2, redelivered: true, attempt: 2 });
    await third.pass(50);
    expect(data()).toEqual([1, 2, 1, 2]);
  });
});

describe('what was given back with failed attempts', () => {
  const failing: HandlerFunction = (_, { attempt }) => {
    throw new Error(`no ${attempt}`);
  };

  /** One hold after the other, as with a pause between them. */
  async function again(before: HoldLab, handler: HandlerFunction, settings = {}) {
    before.hold.end(new StoppedError('paused'));
    return new HoldLab(handler, settings, before).begin();
  }

  it('waits no longer than it still had to, if it comes again to this master', async () => {
    const retry = { attemptsMax: 3, minDelayMs: 60_000, maxDelayMs: 60_000 };
    const first = await new HoldLab(failing, { retry }).begin();
    first.deliver(1, { sequence: 1 });
    await first.pass(10_000);
    const second = await again(first, failing, { retry });
    second.deliver(1, { sequence: 1, attempt: 2, redelivered: true });
    second.deliver(2, { sequence: 2 });
    await second.pass(5_000);
    const third = await again(second, failing, { retry });
    third.deliver(1, { sequence: 1, attempt: 2, redelivered: true });
    await third.pass(14_999);
    expect([second.said, third.said]).toEqual([[], []]);
    await third.pass(1);
    expect(third.said).toEqual(['begin 2 of 1']);
  });

  it('waits the delay of the policy for its attempt, if another master gave it back', async () => {
    const retry = { attemptsMax: 9, minDelayMs: 100, maxDelayMs: 60_000 };
    const lab = await new HoldLab(() => {}, { retry, concurrency: 2, onFailure: 'pass' }).begin();
    lab.deliver(1, { attempt: 4, redelivered: true });
    lab.deliver(2);
    await lab.pass(199);
    expect(lab.news()).toEqual(['ack 2']);
    await lab.pass(1);
    expect(lab.news()).toEqual(['ack 1']);
  });

  it('and has one attempt behind it, perhaps of a master that crashed, comes at once', async () => {
    const lab = await new HoldLab(() => {}).begin();
    lab.deliver(1, { attempt: 2, redelivered: true });
    await lab.pass();
    expect(lab.news()).toEqual(['ack 1']);
  });

  it('comes at once if its call was only cut off', async () => {
    const { handler } = held();
    const first = await new HoldLab(handler).begin();
    first.deliver(1, { sequence: 1, attempt: 2, redelivered: true });
    await first.pass(50);
    const second = await again(first, () => {});
    second.deliver(1, { sequence: 1, attempt: 2, redelivered: true });
    await second.pass();
    expect(second.news()).toEqual(['ack 1']);
  });

  it('goes to the dead letters with the history that this master knows', async () => {
    const first = await new HoldLab(failing).begin();
    first.deliver(1, { sequence: 1 });
    await first.pass(50);
    const second = await again(first, failing);
    const { clock } = second.environment;
    second.deliver(1, { sequence: 1, attempt: 3, redelivered: true });
    await second.pass(100);
    const at = (ms: number) => clock.wall() - clock.now() + ms;
    expect(second.letters).toEqual([
      {
        reason: 'attempts',
        error: 'no 3',
        attempts: 3,
        history: [
          { attempt: 1, at: at(0), error: 'no 1' },
          { attempt: 2, at: at(50), error: 'no 2' },
          { attempt: 3, at: at(100), error: 'no 3' },
        ],
      },
    ]);
  });

  it('and whose last call never ended goes there with the last error that is known', async () => {
    const first = await new HoldLab(failing).begin();
    first.deliver(1, { sequence: 1 });
    await first.pass();
    const second = await again(first, failing);
    second.deliver(1, { sequence: 1, attempt: 4, redelivered: true });
    await second.pass();
    expect(second.letters[0]!.error).toMatch(/3 handler calls.*Attempt 1 failed: no 1/);
  });

  it('keeps of its history what came last, each error cut', async () => {
    const lab = await new HoldLab(
      (_, { attempt }) => {
        throw new Error(`${attempt} ${'x'.repeat(5_000)}`);
      },
      { retry: { attemptsMax: 30, minDelayMs: 1, maxDelayMs: 1 } },
    ).begin();
    lab.deliver(1);
    await lab.pass(100);
    const { history } = lab.letters[0]!;
    expect(history.map(({ attempt }) => attempt)).toEqual(Array.from({ length: 20 }, (_, at) => at + 11));
    expect(new Set(history.map(({ error }) => error.length))).toEqual(new Set([1_000]));
  });
});

describe('a dead letter that the broker does not take', () => {
  const rejecting = (_: Message, { settle }: DeliveryContext) => settle!({ type: 'reject', reason: 'no' });

  it('for now is said again, later each time, and told once', async () => {
    const lab = await new HoldLab(rejecting).begin();
    let refusals = 3;
    const reject = () =>
      refusals-- > 0 ? Promise.reject(new BrokerFullError('No room.')) : Promise.resolve();
    lab.deliver(1, { reject });
    await lab.pass(50 + 100 + 199);
    expect(lab.news()).toEqual(Array(3).fill('reject for rejected 1'));
    await lab.pass(1);
    expect(lab.news()).toEqual(['reject for rejected 1']);
    expect(lab.reported.slice(-2)).toEqual(['refused p-1 No room.', 'buried p-1 rejected 1']);
    await lab.pass(60_000);
    expect(lab.news()).toEqual([]);
  });

  it('is not said again once the hold has ended, and is no duplicate then', async () => {
    const lab = await new HoldLab(rejecting).begin();
    lab.deliver(1, { reject: () => Promise.reject(new BrokerFullError('No room.')) });
    await lab.pass();
    lab.hold.end(new StoppedError('stopped'));
    expect(lab.environment.clock.pending).toBe(0);
    expect(lab.duplicates.seen({ producer: 'p', sequence: 1, open: [[1, Infinity]] }, 0)).toBe(false);
  });

  it('for good ends the consuming, so that it does not stay in hand for ever', async () => {
    const lab = await new HoldLab(rejecting).begin();
    lab.deliver(1, { reject: () => Promise.reject(new UnsupportedError('No dead letters.')) });
    await lab.pass(60_000);
    expect(lab.news()).toEqual(['reject for rejected 1']);
    expect(lab.reported.slice(-1)).toEqual(['lost No dead letters.']);
  });

  it('because its session is lost is left to whoever is told of that', async () => {
    const lab = await new HoldLab(rejecting).begin();
    lab.deliver(1, { reject: () => Promise.reject(new SessionLostError('gone')) });
    await lab.pass(60_000);
    expect(lab.news()).toEqual(['reject for rejected 1']);
    expect(lab.reported.join()).not.toMatch(/lost|refused/);
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
    expect(lab.reported).toEqual([
      'failed 1 1 The handler of queue "q" ran for more than handlerTimeoutMs (1000).',
      'stuck 1',
    ]);
  });

  it('that was given up is not waited for again; another one is', async () => {
    const { calls, handler } = held();
    const lab = await new HoldLab(handler, { concurrency: 2 }).begin();
    lab.deliver(1);
    await lab.pass(1_100);
    lab.deliver(2);
    await lab.pass(600);
    expect(lab.reported.at(-1)).toEqual('stuck 1');
    let isQuiet = false;
    lab.hold.halt();
    void lab.hold.quiet(new Promise(() => {})).then(() => (isQuiet = true));
    await lab.pass();
    expect(isQuiet).toBe(false);
    calls[1]!.end.resolve();
    await lab.pass();
    expect(isQuiet).toBe(true);
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

describe('a hold', () => {
  it('whose step throws ends as failed, and does not stand still', async () => {
    const lab = await new HoldLab(() => {}).begin();
    lab.deliver(1, {
      begin: () => {
        throw new Error('a fault of the backend');
      },
    });
    await lab.pass();
    expect(lab.broken).toEqual([new Error('a fault of the backend')]);
    expect(lab.reported).toEqual(['lost a fault of the backend']);
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

  it('stay taken until the call has ended, also when it settles before', async () => {
    const { calls, handler, data } = held();
    const lab = await new HoldLab(handler, { concurrency: 2, orderBy: () => 'a' }).begin();
    for (const data of ['a1', 'a2']) lab.deliver(data);
    await lab.pass();
    calls[0]!.delivery.settle!({ type: 'ack' });
    await lab.pass();
    expect([data(), lab.news()]).toEqual([['a1'], ['ack a1']]);
    calls[0]!.end.resolve();
    await lab.pass();
    expect(data()).toEqual(['a1', 'a2']);
  });

  it('hold what is behind a failing message also with onFailure pass, which lets pass what is of no lane', async () => {
    const calls: unknown[] = [];
    const lab = await new HoldLab(
      ({ data }, { attempt }) => {
        calls.push(data);
        if (attempt === 1 && String(data).endsWith('1')) throw new Error('no');
      },
      {
        onFailure: 'pass',
        orderBy: (message) => (String(message.data).startsWith('a') ? 'a' : undefined),
      },
    ).begin();
    for (const data of ['a1', 'a2', 'n1', 'n2']) lab.deliver(data);
    await lab.pass();
    expect(calls).toEqual(['a1', 'n1', 'n2']);
    await lab.pass(50);
    expect(calls.slice(3)).toEqual(['a1', 'a2', 'n1']);
  });
});
