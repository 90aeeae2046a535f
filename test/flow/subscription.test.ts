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
