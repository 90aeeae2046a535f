import type { Refusals } from '../../src/backend.js';
import { describe, expect, it } from 'vitest';
import type { TimeoutError } from '../../src/model/errors.js';
import { FakeOwnership } from './fake-broker.js';
import { FakeSession, OutboxLab } from './outbox-lab.js';

const never = new Promise<void>(() => {});

/** Three in the window, the rest in the line. */
function flowing(count: number, limits: { lingerMs?: number; waitingMax?: number | undefined } = {}) {
  const lab = new OutboxLab({ waitingMax: limits.waitingMax ?? 100 });
  const session = new FakeSession(limits.lingerMs);
  lab.open(session);
  lab.publishMany(1, count);
  return { lab, session };
}

describe('an outbox sends', () => {
  it('messages with id, number, time and source', async () => {
    const { lab, session } = flowing(0);
    await lab.clock.advance(5);
    const receipt = lab.publish({ some: 'data' });
    const [{ envelope, confirm }] = session.handed as [FakeSession['handed'][0]];
    expect(envelope).toMatchObject({
      id: 'p-1',
      topic: 'a',
      time: lab.clock.wall(),
      source: 'signalbox:n/m',
      origin: { producer: 'p', sequence: 1, open: [[1, Infinity]] },
      resent: false,
      fence: undefined,
    });
    expect(envelope.payload.value()).toEqual({ some: 'data' });
    confirm();
    expect(await receipt).toEqual({ id: 'p-1', outcome: 'confirmed' });
  });

  it('no more than the window, and then one for each that is answered, in the order of the publishes', async () => {
    const { lab, session } = flowing(6);
    expect(session.story).toEqual(['1', '2', '3']);
    expect(lab.outbox.waiting).toBe(3);
    session.of(2).confirm();
    await lab.settle();
    expect(session.story).toEqual(['1', '2', '3', '4']);
    session.of(1).refuse(new Error('full'));
    await lab.settle();
    expect(session.story).toEqual(['1', '2', '3', '4', '5']);
    expect(lab.confirmed).toEqual([2]);
    expect(lab.errorOf(1)?.message).toBe('full');
  });

  it('nothing before there is a session, nor while the broker takes nothing', async () => {
    const lab = new OutboxLab();
    lab.publishMany(1, 2);
    const session = new FakeSession();
    lab.open(session);
    expect(session.story).toEqual(['1', '2']);
    lab.outbox.hold();
    lab.publishMany(3, 4);
    session.of(1).confirm();
    await lab.settle();
    expect(session.story).toEqual(['1', '2']);
    lab.open(session);
    expect(session.story).toEqual(['1', '2', '3', '4']);
  });

  it('under the fence of its publisher', () => {
    const { lab, session } = flowing(0);
    const fence = new FakeOwnership();
    void lab.publish(null, { fence });
    expect(session.of(1).fence).toBe(fence);
  });

  it('nothing more when too many wait', async () => {
    const { lab, session } = flowing(6, { waitingMax: 3 });
    lab.note(7, lab.publish());
    await lab.settle();
    expect(lab.errorOf(7)).toMatchObject({ code: 'ERR_OUTBOX_FULL' });
    lab.outcomes.clear();
    session.of(1).confirm();
    await lab.settle();
    lab.publishMany(7, 7);
    for (const sequence of [2, 3, 4, 5, 6, 7]) {
      session.of(sequence).confirm();
      await lab.settle();
    }
    expect(lab.confirmed).toEqual([1, 2, 3, 4, 5, 6, 7]);
    // The refused one took no number.
    expect(session.of(7).envelope.id).toBe('p-7');
  });
});

describe('a session that throws', () => {
  it('has refused', async () => {
    const { lab, session } = flowing(0);
    session.publish = () => {
      throw new Error('broken');
    };
    lab.publishMany(1, 1);
    await lab.settle();
    expect(lab.errorOf(1)?.message).toBe('broken');
    await lab.outbox.drain(never);
  });
});

describe('one answer for several messages', () => {
  it('confirms them all, in order, and lets as many follow', async () => {
    const lab = new OutboxLab();
    const session = new FakeSession();
    let confirm!: () => void;
    session.answer = new Promise((resolve) => (confirm = resolve));
    lab.open(session);
    lab.publishMany(1, 5);
    await lab.settle();
    session.answer = undefined;
    confirm();
    await lab.settle();
    expect(lab.confirmed).toEqual([1, 2, 3]);
    expect(session.story).toEqual(['1', '2', '3', '4', '5']);
    expect(lab.outcomes.has(4)).toBe(false);
  });

  it('refuses them all', async () => {
    const lab = new OutboxLab();
    const session = new FakeSession();
    let refuse!: (error: Error) => void;
    session.answer = new Promise((_, reject) => (refuse = reject));
    lab.open(session);
    lab.publishMany(1, 2);
    refuse(new Error('no'));
    await lab.settle();
    expect([lab.errorOf(1)?.message, lab.errorOf(2)?.message]).toEqual(['no', 'no']);
  });

  it('confirms those that are not refused, and the line takes both their places', async () => {
    const lab = new OutboxLab();
    const session = new FakeSession();
    let resolve!: (refusals: Refusals) => void;
    session.answer = new Promise((answered) => (resolve = answered));
    lab.open(session);
    lab.publishMany(1, 6);
    await lab.settle();
    session.answer = undefined;
    resolve(new Map([[session.of(2).envelope, new Error('full')]]));
    await lab.settle();
    expect(lab.confirmed).toEqual([1, 3]);
    expect(lab.errorOf(2)?.message).toBe('full');
    expect(session.story).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  it('that was given before says nothing of what another session was given', async () => {
    const lab = new OutboxLab();
    const [lost, next] = [new FakeSession(), new FakeSession()];
    // A backend that confirms at once may give one settled promise for everything.
    const settled = Promise.resolve();
    lost.answer = settled;
    next.answer = settled;
    lab.open(lost);
    lab.publishMany(1, 1);
    lab.open(next);
    lab.publishMany(2, 2);
    await lab.settle();
    expect(next.story).toEqual(['1 again', '2']);
    expect(lab.confirmed).toEqual([1, 2]);
  });
});

describe('after a lost session', () => {
  it('what was unconfirmed goes first, in order and flagged, then the line', async () => {
    const { lab, session } = flowing(5);
    session.of(2).confirm();
    await lab.settle();
    expect(session.story).toEqual(['1', '2', '3', '4']);
    lab.outbox.hold();
    session.lose();
    lab.publishMany(6, 6);
    await lab.settle();
    const next = new FakeSession();
    lab.open(next);
    expect(next.story).toEqual(['1 again', '3 again', '4 again']);
    for (const { confirm } of next.handed) confirm();
    await lab.settle();
    expect(next.story).toEqual(['1 again', '3 again', '4 again', '5', '6']);
    expect(lab.confirmed).toEqual([2, 1, 3, 4]);
  });

  it('also where the session never said so', async () => {
    const { lab } = flowing(2);
    const next = new FakeSession();
    lab.open(next);
    expect(next.story).toEqual(['1 again', '2 again']);
  });

  it('what it refuses waits for the next one', async () => {
    const { lab, session } = flowing(5);
    session.lose();
    await lab.settle();
    expect(session.story).toEqual(['1', '2', '3']);
    expect(lab.outbox.waiting).toBe(5);
  });

  it('its late words do not count', async () => {
    const { lab, session } = flowing(2);
    const next = new FakeSession();
    lab.open(next);
    session.of(1).confirm();
    session.of(2).refuse(new Error('late'));
    await lab.settle();
    expect(lab.outcomes.size).toBe(0);
    next.of(1).confirm();
    next.of(2).confirm();
    await lab.settle();
    expect(lab.confirmed).toEqual([1, 2]);
  });

  it('numbers sent over two sessions stay open as long as the first may still take them', async () => {
    const { lab, session } = flowing(1, { lingerMs: 6_000 });
    session.lose();
    const next = new FakeSession(6_000);
    lab.open(next);
    next.of(1).confirm();
    await lab.settle();
    expect(lab.confirmed).toEqual([1]);
    expect(await lab.isOpenNow(1, next)).toBe(true);
    for (const { confirm } of next.handed) confirm();
    await lab.clock.advance(7_001);
    expect(await lab.isOpenNow(1, next)).toBe(false);
  });
});

describe('at its deadline a publish', () => {
  it('says that it was never sent', async () => {
    const { lab, session } = flowing(4);
    await lab.clock.advance(1_005);
    expect(lab.errorOf(4)).toMatchObject({ code: 'ERR_TIMEOUT', id: 'p-4', outcome: 'not-sent' });
    expect(session.story).toEqual(['1', '2', '3']);
    expect(lab.outbox.waiting).toBe(0);
  });

  it('says that its outcome is unknown once it was sent, and makes room', async () => {
    const { lab, session } = flowing(3);
    lab.note(4, lab.publish(null, { timeoutMs: 5_000 }));
    await lab.clock.advance(1_005);
    for (const sequence of [1, 2, 3])
      expect(lab.errorOf(sequence)).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    expect(session.story).toEqual(['1', '2', '3', '4']);
  });

  it('says so also when the session that had it is lost', async () => {
    const { lab, session } = flowing(1);
    session.lose();
    await lab.clock.advance(1_005);
    expect(lab.errorOf(1)).toMatchObject({ outcome: 'unknown' });
    const next = new FakeSession();
    lab.open(next);
    expect(next.story).toEqual([]);
  });

  it('is not over before', async () => {
    const { lab } = flowing(4);
    await lab.clock.advance(999);
    expect(lab.outcomes.size).toBe(0);
  });
});

describe('a retry', () => {
  const timedOut = async (count: number, limits?: { waitingMax: number }) => {
    const { lab, session } = flowing(count, limits);
    await lab.clock.advance(1_005);
    const retry = (sequence: number) => lab.note(sequence, (lab.errorOf(sequence) as TimeoutError).retry());
    return { lab, session, retry };
  };

  it('sends again under the same id, flagged if it was sent before', async () => {
    const { lab, session, retry } = await timedOut(1);
    const at = lab.clock.wall();
    retry(1);
    expect(session.story).toEqual(['1', '1 again']);
    expect(session.handed[1]!.envelope).toMatchObject({ id: 'p-1', time: at - 1_005 });
    session.handed[1]!.confirm();
    await lab.settle();
    expect(lab.confirmed).toEqual([1]);
  });

  it('is not flagged if it was never sent', async () => {
    const { lab, session, retry } = await timedOut(4);
    retry(4);
    expect(session.story).toEqual(['1', '2', '3', '4']);
    expect(session.of(4).envelope.id).toBe('p-4');
    await lab.clock.advance(1_005);
    expect(lab.errorOf(4)).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
  });

  it('is refused after a late confirm, which closes the number', async () => {
    const { lab, session, retry } = await timedOut(1);
    expect(await lab.isOpenNow(1, session)).toBe(true);
    session.of(1).confirm();
    await lab.settle();
    expect(await lab.isOpenNow(1, session)).toBe(false);
    retry(1);
    await lab.settle();
    expect(lab.errorOf(1)).toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
  });

  it('is refused while an earlier one is under way', async () => {
    const { lab, session, retry } = await timedOut(1);
    const again = lab.errorOf(1) as TimeoutError;
    retry(1);
    await expect(again.retry()).rejects.toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
    expect(session.story).toEqual(['1', '1 again']);
  });

  it('is refused after ten minutes, and the number closes', async () => {
    const { lab, session, retry } = await timedOut(1);
    await lab.clock.advance(599_000);
    expect(await lab.isOpenNow(1, session)).toBe(true);
    await lab.clock.advance(3_000);
    expect(await lab.isOpenNow(1, session)).toBe(false);
    retry(1);
    await lab.settle();
    expect(lab.errorOf(1)).toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
  });

  it('is refused for the oldest when too many are kept', async () => {
    const { lab, session, retry } = await timedOut(3, { waitingMax: 2 });
    retry(1);
    retry(2);
    await lab.settle();
    expect(lab.errorOf(1)).toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
    expect(session.story).toEqual(['1', '2', '3', '2 again']);
  });
});

describe('under an ownership that has lapsed', () => {
  const lapsed = (waitingMax?: number) => {
    const { lab, session } = flowing(0, { waitingMax });
    const fence = new FakeOwnership();
    fence.state = 'lapsed';
    lab.note(1, lab.publish(null, { fence }));
    return { lab, session, fence };
  };

  it('waits until that is valid again, while others pass', async () => {
    const { lab, session, fence } = lapsed();
    lab.publishMany(2, 2);
    expect([session.story, lab.outbox.waiting]).toEqual([['2'], 1]);
    fence.answer('valid');
    await lab.settle();
    expect([session.story, lab.outbox.waiting]).toEqual([['2', '1'], 0]);
    expect(session.of(1)).toMatchObject({ fence, envelope: { resent: false } });
    session.of(1).confirm();
    await lab.settle();
    expect(lab.confirmed).toEqual([1]);
  });

  it('is refused when that has ended, and its number closes', async () => {
    const { lab, session, fence } = lapsed();
    fence.answer('ended');
    await lab.settle();
    expect(lab.errorOf(1)).toMatchObject({ code: 'ERR_FENCED' });
    expect(await lab.isOpenNow(1, session)).toBe(false);
    expect(session.story).toEqual(['2']);
  });

  it('counts as waiting', async () => {
    const { lab, session } = lapsed(1);
    lab.note(2, lab.publish());
    await lab.settle();
    expect(lab.errorOf(2)).toMatchObject({ code: 'ERR_OUTBOX_FULL' });
    expect(session.story).toEqual([]);
  });

  it('says at its deadline that it was never sent, and a retry asks again', async () => {
    const { lab, session, fence } = lapsed();
    await lab.clock.advance(1_005);
    const error = lab.errorOf(1) as TimeoutError;
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT', id: 'p-1', outcome: 'not-sent' });
    lab.note(1, error.retry());
    expect([fence.asked, lab.outbox.waiting]).toEqual([2, 1]);
    // The first question is answered as well.
    fence.answer('valid');
    await lab.settle();
    expect(session.story).toEqual(['1']);
    session.of(1).confirm();
    await lab.settle();
    expect(lab.outcomes.get(1)).toEqual({ receipt: { id: 'p-1', outcome: 'confirmed' } });
  });

  it('is stopped by a drain', async () => {
    const { lab, session, fence } = lapsed();
    await lab.outbox.drain(Promise.resolve());
    expect(lab.errorOf(1)).toMatchObject({ code: 'ERR_STOPPED' });
    expect(lab.errorOf(1)?.message).toMatch(/never sent/);
    fence.answer('valid');
    await lab.settle();
    expect([session.story, lab.outbox.waiting]).toEqual([[], 0]);
  });
});

describe('an aborted publish', () => {
  it('sends nothing if it was aborted before', async () => {
    const { lab, session } = flowing(0);
    await expect(lab.publish(null, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
    expect(session.story).toEqual([]);
  });

  it('leaves the line, and its number closes', async () => {
    const { lab, session } = flowing(3);
    const abort = new AbortController();
    lab.note(4, lab.publish(null, { signal: abort.signal }));
    abort.abort(new Error('enough'));
    await lab.settle();
    expect(lab.errorOf(4)?.message).toBe('enough');
    session.of(1).confirm();
    await lab.settle();
    expect(await lab.isOpenNow(4, session)).toBe(false);
    expect(session.story).toEqual(['1', '2', '3', '5']);
  });

  it('keeps its number open if it was sent, until the broker has confirmed it', async () => {
    const { lab, session } = flowing(0);
    const abort = new AbortController();
    lab.note(1, lab.publish(null, { signal: abort.signal }));
    abort.abort(new Error('enough'));
    await lab.settle();
    expect(lab.errorOf(1)?.message).toBe('enough');
    expect(await lab.isOpenNow(1, session)).toBe(true);
    session.of(1).confirm();
    await lab.settle();
    expect(await lab.isOpenNow(1, session)).toBe(false);
  });

  it('is not sent again over the next session', async () => {
    const { lab } = flowing(0);
    const abort = new AbortController();
    lab.note(1, lab.publish(null, { signal: abort.signal }));
    abort.abort(new Error('enough'));
    const next = new FakeSession();
    lab.open(next);
    expect(next.story).toEqual([]);
  });

  it('is no longer listened for once it has ended', async () => {
    const { lab, session } = flowing(0);
    const abort = new AbortController();
    lab.note(1, lab.publish(null, { signal: abort.signal }));
    session.of(1).confirm();
    await lab.settle();
    abort.abort();
    await lab.settle();
    expect(lab.confirmed).toEqual([1]);
  });
});

describe('a drain', () => {
  it('resolves when everything is answered, and takes nothing new', async () => {
    const { lab, session } = flowing(4);
    let drained = false;
    void lab.outbox.drain(never).then(() => (drained = true));
    await expect(lab.publish()).rejects.toMatchObject({ code: 'ERR_STOPPED' });
    for (const sequence of [1, 2, 3, 4]) {
      await lab.settle();
      expect(drained).toBe(false);
      session.of(sequence).confirm();
    }
    await lab.settle();
    expect(drained).toBe(true);
    expect(lab.confirmed).toEqual([1, 2, 3, 4]);
  });

  it('at its deadline says of each what is known', async () => {
    const { lab } = flowing(4);
    await lab.outbox.drain(Promise.resolve());
    for (const sequence of [3, 4]) expect(lab.errorOf(sequence)).toMatchObject({ code: 'ERR_STOPPED' });
    expect(lab.errorOf(3)?.message).toMatch(/may have been taken/);
    expect(lab.errorOf(4)?.message).toMatch(/never sent/);
  });

  it('ends retries', async () => {
    const { lab } = flowing(1);
    await lab.clock.advance(1_005);
    await lab.outbox.drain(never);
    await expect((lab.errorOf(1) as TimeoutError).retry()).rejects.toMatchObject({ code: 'ERR_STOPPED' });
  });

  it('leaves no timer behind', async () => {
    const { lab, session } = flowing(4);
    await lab.clock.advance(500);
    session.of(1).confirm();
    await lab.clock.advance(505);
    expect(lab.clock.pending).toBeGreaterThan(0);
    await lab.outbox.drain(Promise.resolve());
    await lab.settle();
    expect(lab.clock.pending).toBe(0);
  });
});
