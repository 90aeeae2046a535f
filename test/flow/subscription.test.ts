import { describe, expect, it } from 'vitest';
import { Parcel } from '../../src/flow/message-view.js';
import type { Handler } from '../../src/flow/handler.js';
import { Subscription } from '../../src/flow/subscription.js';
import { Tally } from '../../src/flow/tally.js';
import { Turns } from '../../src/flow/turns.js';
import { Payload } from '../../src/model/payload.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';

/** A subscription without a broker. */
function lab(handler: Handler, mailbox: { limit?: number; onFull?: 'drop-oldest' | 'drop-newest' } = {}) {
  const { clock } = virtualEnvironment();
  const broken: unknown[] = [];
  const failures: string[] = [];
  const gaps: number[] = [];
  const report = { failed: (error: Error) => void failures.push(error.message) };
  const subscription = new Subscription(
    ['a'],
    handler,
    { limit: 1_000, onFull: 'drop-oldest', ...mailbox },
    {
      turns: new Turns(clock, (error) => broken.push(error)),
      tally: new Tally(),
      master: 'm',
      publish: () => Promise.resolve({ id: 'x', outcome: 'confirmed' as const }),
      catalogue: undefined,
    },
    {
      failed: (_, error) => report.failed(error),
      overflowed: (missed) => void gaps.push(missed),
    },
  );
  subscription.open();
  const put = (data: unknown) =>
    subscription.put(
      new Parcel({
        id: `p-${String(data)}`,
        topic: 'a',
        time: 0,
        source: 'signalbox:ns/p',
        headers: {},
        payload: Payload.of(data, { maxBytes: 1_000 }),
        origin: undefined,
        resent: false,
        fence: undefined,
      }),
    );
  return { subscription, clock, put, broken, failures, gaps, report };
}

describe('a subscription', () => {
  it('goes on when a step of it throws', async () => {
    const got: unknown[] = [];
    const { clock, put, report, broken } = lab(({ data }) => {
      if (data === 1) throw new Error('the handler');
      got.push(data);
    });
    report.failed = () => {
      throw new Error('a fault of ours');
    };
    put(1);
    put(2);
    await clock.advance(0);
    expect([got, broken]).toEqual([[2], [new Error('a fault of ours')]]);
    put(3);
    await clock.advance(0);
    expect(got).toEqual([2, 3]);
  });
});

describe('a full mailbox', () => {
  /** A reader that takes 10 ms for each message. */
  function slow(mailbox: { limit?: number; onFull?: 'drop-oldest' | 'drop-newest' }) {
    const got: unknown[] = [];
    const it: ReturnType<typeof lab> = lab(async ({ data }) => {
      got.push(data);
      await new Promise<void>((resolve) => void it.clock.setTimeout(resolve, 10));
    }, mailbox);
    return { ...it, got };
  }

  it('is one gap for an outage, told when it is over, with all that was missed', async () => {
    const { clock, put, got, gaps } = slow({ limit: 10 });
    for (let data = 0; data < 20; data++) put(data);
    await clock.advance(25);
    for (let data = 20; data < 30; data++) put(data);
    expect(gaps).toEqual([]);
    await clock.advance(1_000);
    expect([gaps, got.length]).toEqual([[30 - got.length], 13]);
    for (let data = 0; data < 12; data++) put(data);
    await clock.advance(1_000);
    expect(gaps).toHaveLength(2);
  });

  it('in a flood of 4,000 messages a second is told of once a second', async () => {
    const { subscription, clock, put, got, gaps } = slow({ limit: 100 });
    let sent = 0;
    for (let ms = 0; ms < 5_000; ms++) {
      for (let each = 0; each < 4; each++) put(sent++);
      await clock.advance(1);
    }
    expect(gaps.length).toBeGreaterThanOrEqual(4);
    expect(gaps.length).toBeLessThanOrEqual(5);
    await clock.advance(2_000);
    expect(gaps.length).toBeLessThanOrEqual(6);
    expect(gaps.reduce((sum, missed) => sum + missed, 0)).toBe(sent - got.length);
    await subscription.close(Promise.resolve());
  }, 30_000);

  it('drops what comes last, if asked to', async () => {
    const { clock, put, got, gaps } = slow({ limit: 3, onFull: 'drop-newest' });
    for (let data = 0; data < 6; data++) put(data);
    await clock.advance(1_000);
    expect([got, gaps]).toEqual([[0, 1, 2], [3]]);
  });

  it('is told of at the latest when the subscription stops', async () => {
    const { subscription, clock, put, gaps } = slow({ limit: 2 });
    put(0);
    await clock.advance(0);
    for (let data = 1; data < 6; data++) put(data);
    const closed = subscription.close(Promise.resolve());
    expect(gaps).toEqual([3]);
    await clock.advance(10);
    await closed;
  });
});
