import { describe, expect, it } from 'vitest';
import {
  BrokerFullError,
  PayloadError,
  QueueFullError,
  SpoolFullError,
  TimeoutError,
} from '../../src/model/errors.js';
import { rejection } from '../eventually.js';
import { FakeDisk, fence, SpoolingLab } from './spooling-lab.js';

const ids = (from: number, to: number, flag = '', producer = 'p') =>
  Array.from({ length: to - from + 1 }, (_, at) => `${producer}-${from + at}${flag}`);
const times = (count: number, outcome: string) => Array<string>(count).fill(outcome);

describe('the outbox with a spool', () => {
  it('resolves as spooled at the deadline, once it is flushed', async () => {
    const lab = new SpoolingLab();
    void lab.publish(100);
    await lab.pass(90);
    expect(lab.disk.ids).toEqual([]);
    await lab.pass(30);
    expect(lab.outcomes).toEqual(['-']);
    await lab.flush();
    expect(lab.outcomes).toEqual(['spooled']);
    expect(lab.disk.ids).toEqual(['p-1']);
  });

  it('spools with the first one all that wait, and what is published then', async () => {
    const lab = new SpoolingLab();
    await lab.publishMany(2, 60_000);
    await lab.publishMany(1, 100);
    await lab.publishMany(2, 60_000);
    await lab.pass(110);
    void lab.publish(60_000);
    await lab.flush();
    expect(lab.outcomes).toEqual(times(6, 'spooled'));
    expect(lab.disk.ids).toEqual(ids(1, 6));
  });

  it('touches no spool while the broker confirms in time', async () => {
    const lab = new SpoolingLab();
    const session = lab.connect();
    await lab.publishMany(5);
    session.confirm();
    await lab.settle();
    session.confirm();
    await lab.pass(10_000);
    expect(lab.outcomes).toEqual(times(5, 'confirmed'));
    expect(lab.spool.messages).toBe(0);
  });

  it('sends what was never sent unflagged and in order when the broker is back, new ones behind it', async () => {
    const lab = new SpoolingLab();
    await lab.publishMany(4, 100);
    await lab.pass(110);
    await lab.flush();
    const session = lab.connect();
    await lab.publishMany(1);
    await lab.flush();
    expect(session.shown).toEqual(ids(1, 3));
    session.confirm();
    await lab.settle();
    expect(session.shown).toEqual(ids(1, 5));
    session.confirm();
    await lab.flush();
    expect([lab.spool.messages, lab.disk.ids]).toEqual([0, []]);
    void lab.publish();
    expect(session.shown.at(-1)).toBe('p-6');
    session.confirm();
    await lab.settle();
    expect(lab.outcomes).toEqual([...times(5, 'spooled'), 'confirmed']);
  });

  it('flags what a lost session had, and puts it in its place', async () => {
    const lab = new SpoolingLab();
    const first = lab.connect();
    await lab.publishMany(2, 60_000);
    await lab.publishMany(1, 100);
    await lab.publishMany(1, 100);
    expect(first.shown).toEqual(ids(1, 3));
    await lab.pass(110);
    await lab.flush();
    // The two that were sent in time wait for their confirm.
    expect(lab.outcomes).toEqual(['-', '-', 'spooled', 'spooled']);
    lab.disconnect();
    await lab.flush();
    expect(lab.outcomes).toEqual(times(4, 'spooled'));
    const second = lab.connect();
    expect(second.shown).toEqual(ids(1, 3, '!'));
    second.confirm();
    await lab.settle();
    expect(second.shown.at(-1)).toBe('p-4');
  });

  it('does not send again over a session that still has it, and lets a late confirm end it', async () => {
    const lab = new SpoolingLab();
    const session = lab.connect();
    await lab.publishMany(2, 100);
    await lab.pass(110);
    await lab.flush();
    expect(lab.outcomes).toEqual(times(2, 'spooled'));
    void lab.publish();
    await lab.flush();
    expect(session.shown).toEqual(ids(1, 3));
    session.confirm();
    await lab.flush();
    expect([lab.spool.messages, lab.disk.ids]).toEqual([0, []]);
    expect(session.shown).toEqual(ids(1, 3));
  });

  it('resolves as confirmed when the confirm comes before the disk', async () => {
    const lab = new SpoolingLab();
    const session = lab.connect();
    await lab.publishMany(1, 100);
    await lab.pass(110);
    session.confirm();
    await lab.flush();
    expect(lab.outcomes).toEqual(['confirmed']);
    expect([lab.spool.messages, lab.disk.ids]).toEqual([0, []]);
  });

  it('lets a publisher who awaits each publish out of the spool', async () => {
    const lab = new SpoolingLab();
    await lab.publishMany(1, 100);
    await lab.pass(110);
    const session = lab.connect();
    await lab.flush();
    expect(session.shown).toEqual(['p-1']);
    void lab.publish();
    expect(session.shown).toEqual(['p-1', 'p-2']);
    lab.disconnect();
    await lab.flush();
    expect(lab.outcomes).toEqual(['spooled', 'spooled']);
    expect(lab.connect().shown).toEqual(['p-1!', 'p-2!']);
  });

  it('spools at once while the broker leaves a message without an answer', async () => {
    const lab = new SpoolingLab(new FakeDisk(), { window: 10 });
    const session = lab.connect();
    await lab.publishMany(1, 100);
    await lab.pass(110);
    void lab.publish();
    await lab.flush();
    expect(lab.outcomes).toEqual(['spooled', 'spooled']);
    expect(session.shown).toEqual(['p-1', 'p-2']);
  });

  it('spools at once while the broker blocks', async () => {
    const lab = new SpoolingLab();
    await lab.publishMany(1, 100);
    await lab.pass(110);
    const session = lab.connect();
    await lab.flush();
    lab.outbox.hold();
    void lab.publish();
    await lab.flush();
    expect(lab.outcomes).toEqual(['spooled', 'spooled']);
    lab.outbox.open(session as never);
    expect(session.shown).toEqual(['p-1', 'p-2']);
  });

  it('does not believe a session that was given up about what has gone to the disk since', async () => {
    const lab = new SpoolingLab();
    const lost = lab.connect();
    await lab.publishMany(1, 100);
    await lab.pass(110);
    const session = lab.connect();
    lab.outbox.hold();
    await lab.flush();
    expect(lab.outcomes).toEqual(['spooled']);
    lost.confirm();
    await lab.settle();
    lab.outbox.open(session as never);
    expect(session.sent.at(-1)).toMatchObject({ id: 'p-1', resent: true, origin: { open: [[1, Infinity]] } });
  });

  it('keeps a number open until it is confirmed', async () => {
    const lab = new SpoolingLab();
    await lab.publishMany(2, 100);
    await lab.pass(110);
    await lab.flush();
    await lab.pass(3_600_000);
    const session = lab.connect();
    session.confirm(1);
    await lab.settle();
    void lab.publish(100, fence);
    expect(session.sent.at(-1)).toMatchObject({ id: 'p-3', origin: { open: [[2, Infinity]] } });
    session.confirm();
    await lab.settle();
    void lab.publish();
    expect(session.sent.at(-1)).toMatchObject({ id: 'p-4', origin: { open: [[4, Infinity]] } });
  });

  it('keeps a number open while a copy may still come over the old connection', async () => {
    const lab = new SpoolingLab();
    lab.connect(5_000);
    await lab.publishMany(1, 100);
    await lab.pass(110);
    await lab.flush();
    lab.disconnect();
    const session = lab.connect(5_000);
    session.confirm();
    await lab.settle();
    void lab.publish();
    expect(session.sent.at(-1)!.origin!.open).toEqual([[1, Infinity]]);
    session.confirm();
    await lab.pass(6_100);
    void lab.publish();
    expect(session.sent.at(-1)!.origin!.open).toEqual([[3, Infinity]]);
  });

  it('never spools what is under a fence, and lets it pass', async () => {
    const lab = new SpoolingLab();
    const timedOut = rejection(lab.publish(100, fence));
    await lab.publishMany(4, 100);
    await lab.pass(110);
    await lab.flush();
    expect(await timedOut).toBeInstanceOf(TimeoutError);
    expect(lab.disk.ids).toEqual(ids(2, 5));
    void lab.publish(100, fence);
    const session = lab.connect();
    expect(session.shown).toEqual(['p-6', 'p-2', 'p-3']);
  });

  it('spools what finds no room in the line', async () => {
    const lab = new SpoolingLab(new FakeDisk(), { waitingMax: 3 });
    await lab.publishMany(5, 60_000);
    await lab.flush();
    expect(lab.outcomes).toEqual(times(5, 'spooled'));
    expect(lab.disk.ids).toEqual(ids(1, 5));
  });

  it('does not block the event loop with a long line', async () => {
    const lab = new SpoolingLab(new FakeDisk(), { waitingMax: 10_000 });
    await lab.publishMany(2_000, 60_000);
    await lab.publishMany(1, 100);
    const put = lab.spool.put.bind(lab.spool);
    const turns: number[] = [];
    let isNew = true;
    lab.spool.put = (place, envelope) => {
      if (isNew) {
        isNew = false;
        turns.push(0);
        setImmediate(() => (isNew = true));
      }
      turns[turns.length - 1]! += 1;
      return put(place, envelope);
    };
    await lab.pass(110);
    while (lab.spool.messages < 2_001) await lab.settle();
    expect(Math.max(...turns)).toBeLessThan(600);
    await lab.flush();
    expect(lab.outcomes).toEqual(times(2_001, 'spooled'));
    expect(lab.disk.ids).toEqual(ids(1, 2_001));
  });

  it('ends a publish whose signal aborts before the deadline, and no other', async () => {
    const lab = new SpoolingLab();
    const abort = new AbortController();
    const aborted = rejection(lab.publish(100, undefined, abort.signal));
    const spooled = new AbortController();
    void lab.publish(100, undefined, spooled.signal);
    abort.abort(new Error('enough'));
    expect((await aborted).message).toBe('enough');
    await lab.pass(110);
    spooled.abort(new Error('too late'));
    await lab.flush();
    expect(lab.outcomes[1]).toBe('spooled');
    expect(lab.disk.ids).toEqual(['p-2']);
  });
});

describe('a full spool', () => {
  it('rejects with SpoolFullError what would go straight to it, and with TimeoutError at the deadline', async () => {
    const lab = new SpoolingLab();
    lab.spool.messagesMax = 2;
    await lab.publishMany(3, 100);
    await lab.pass(110);
    await lab.flush();
    expect(lab.outcomes).toEqual(['spooled', 'spooled', 'ERR_TIMEOUT']);
    expect(await rejection(lab.publish())).toBeInstanceOf(SpoolFullError);
    const session = lab.connect();
    session.confirm();
    await lab.flush();
    void lab.publish();
    expect(session.shown).toEqual([...ids(1, 2), 'p-4']);
  });

  it('keeps the order of what it has and what had to wait', async () => {
    const lab = new SpoolingLab(new FakeDisk(), { window: 2 });
    lab.spool.messagesMax = 2;
    await lab.publishMany(1, 60_000);
    await lab.publishMany(1, 100);
    await lab.publishMany(2, 60_000);
    await lab.pass(110);
    await lab.flush();
    expect(lab.disk.ids).toEqual(['p-1', 'p-2']);
    const session = lab.connect();
    session.confirm();
    await lab.settle();
    expect(session.shown).toEqual(ids(1, 4));
  });

  it('lets a retry find its place', async () => {
    const lab = new SpoolingLab();
    lab.spool.messagesMax = 1;
    const first = rejection(lab.publish(50, fence));
    void lab.publish(100);
    const third = rejection(lab.publish(100));
    await lab.pass(110);
    await lab.flush();
    await first;
    const error = (await third) as TimeoutError;
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'not-sent' });
    expect(await rejection(error.retry())).toMatchObject({ code: 'ERR_SPOOL_FULL' });
    lab.spool.messagesMax = 10;
    const retried = error.retry();
    await lab.flush();
    expect(await retried).toEqual({ id: 'p-3', outcome: 'spooled' });
    expect(lab.disk.ids).toEqual(['p-2', 'p-3']);
    expect(await rejection(error.retry())).toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
  });

  it('says what it knows when the disk fails', async () => {
    const lab = new SpoolingLab();
    const session = lab.connect();
    await lab.publishMany(4, 100);
    await lab.pass(110);
    lab.spool.fail(new SpoolFullError('the disk fails'));
    await lab.settle();
    expect(lab.outcomes).toEqual([...times(3, 'ERR_TIMEOUT'), 'ERR_SPOOL_FULL']);
    expect(lab.spool.messages).toBe(0);
    void lab.publish();
    expect(session.shown.at(-1)).toBe('p-5');
  });

  it('gives up on a disk that does not answer, and sends what it takes late', async () => {
    const lab = new SpoolingLab();
    const late = rejection(lab.publish(100));
    await lab.pass(110);
    await lab.pass(10_100);
    const error = (await late) as TimeoutError;
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    const retried = error.retry();
    await lab.flush();
    expect(await retried).toEqual({ id: 'p-1', outcome: 'spooled' });
    expect(lab.connect().shown).toEqual(['p-1']);
  });
});

describe('what the broker refuses', () => {
  for (const error of [new QueueFullError(['q']), new BrokerFullError('full')])
    it(`is sent again, flagged and ever later, after a ${error.name}`, async () => {
      const lab = new SpoolingLab(new FakeDisk(), { window: 1 });
      await lab.publishMany(2, 100);
      await lab.pass(110);
      await lab.flush();
      const session = lab.connect();
      const gaps: number[] = [];
      for (let round = 0; round < 12; round++) {
        const before = lab.clock.now();
        session.refuse(error);
        await lab.settle();
        while (session.unanswered.length === 0) await lab.pass(10);
        gaps.push(lab.clock.now() - before);
      }
      expect(Math.max(...gaps)).toBeGreaterThan(1_000);
      expect(Math.max(...gaps)).toBeLessThan(10_200);
      expect(new Set(session.shown.slice(1))).toEqual(new Set(['p-1!']));
      session.confirm();
      await lab.settle();
      expect(session.shown.at(-1)).toBe('p-2');
      expect(lab.warnings).toEqual([]);
    });

  it('is set aside if it is refused for good, and holds nothing back', async () => {
    const lab = new SpoolingLab();
    await lab.publishMany(3, 100);
    await lab.pass(110);
    await lab.flush();
    const session = lab.connect();
    session.refuse(new PayloadError('never'), 1);
    session.confirm();
    await lab.flush();
    expect(lab.warnings).toEqual(['p-2']);
    expect(lab.disk.setAside).toEqual(['p-2']);
    expect([lab.spool.messages, lab.disk.ids]).toEqual([0, []]);
    void lab.publish();
    expect(session.sent.at(-1)!.origin!.open).toEqual([[4, Infinity]]);
  });

  it('is rejected as ever while its publisher waits', async () => {
    const lab = new SpoolingLab();
    const session = lab.connect();
    const refused = rejection(lab.publish());
    session.refuse(new QueueFullError(['q']));
    expect(await refused).toBeInstanceOf(QueueFullError);
    expect(lab.spool.messages).toBe(0);
  });
});

describe('another process', () => {
  it('sends first what was left, flagged, under the ids it had, oldest process first', async () => {
    const disk = new FakeDisk();
    for (const name of ['one', 'two']) {
      const lab = new SpoolingLab(disk, { name });
      await lab.publishMany(2, 100);
      await lab.pass(110);
      await lab.flush();
    }
    const lab = new SpoolingLab(disk, { name: 'three', window: 10 });
    void lab.publish();
    await lab.flush();
    expect(lab.outcomes).toEqual(['spooled']);
    const session = lab.connect();
    expect(session.shown).toEqual([...ids(1, 2, '!', 'one'), ...ids(1, 2, '!', 'two'), 'three-1']);
    expect(session.sent[1]!.origin).toEqual({ producer: 'one', sequence: 2, open: [[1, Infinity]] });
    session.confirm();
    await lab.flush();
    expect(disk.ids).toEqual([]);
  });

  it('passes over what it cannot read, and sets it aside', async () => {
    const disk = new FakeDisk();
    const before = new SpoolingLab(disk, { name: 'one' });
    await before.publishMany(3, 100);
    await before.pass(110);
    await before.flush();
    disk.kept[1] = { place: disk.kept[1]!.place, envelope: new Error('torn') };
    const lab = new SpoolingLab(disk, { name: 'two' });
    const session = lab.connect();
    await lab.settle();
    expect(session.shown).toEqual(['one-1!', 'one-3!']);
    expect([lab.warnings, disk.setAside]).toEqual([['damaged'], ['damaged']]);
    session.confirm();
    await lab.flush();
    expect(disk.ids).toEqual([]);
  });
});

describe('stop', () => {
  it('spools what is unconfirmed when the drain ends, and leaves what is on the disk', async () => {
    const lab = new SpoolingLab();
    await lab.publishMany(2, 100);
    await lab.pass(110);
    await lab.flush();
    const late = new SpoolingLab(lab.disk, { name: 'late' });
    const session = late.connect();
    await late.publishMany(2, 60_000);
    const fenced = rejection(late.publish(60_000, fence));
    let end!: () => void;
    const drained = late.outbox.drain(new Promise((resolve) => (end = resolve)));
    await late.flush();
    expect(late.outcomes).toEqual(['-', '-', '-']);
    end();
    await late.flush();
    expect(late.outcomes.slice(0, 2)).toEqual(times(2, 'spooled'));
    expect(await fenced).toMatchObject({ code: 'ERR_STOPPED' });
    await drained;
    expect(late.spool.closed).toBe(true);
    expect(session.shown).toEqual(['p-1!', 'p-2!', 'late-1']);
    expect(lab.disk.ids).toEqual(['p-1', 'p-2', 'late-1', 'late-2']);
    expect(await rejection(late.publish())).toMatchObject({ code: 'ERR_STOPPED' });
    expect(late.clock.pending).toBe(0);
  });

  it('waits for the answers to what it had taken from the spool, and takes no more', async () => {
    const lab = new SpoolingLab(new FakeDisk(), { window: 2 });
    await lab.publishMany(3, 100);
    await lab.pass(110);
    await lab.flush();
    const session = lab.connect();
    const drained = lab.outbox.drain(new Promise(() => {}));
    await lab.settle();
    expect(lab.spool.closed).toBe(false);
    session.confirm();
    await drained;
    expect(session.shown).toEqual(ids(1, 2));
    expect(lab.disk.ids).toEqual(['p-3']);
  });

  it('spools what was sent and what was not when nobody answers', async () => {
    const lab = new SpoolingLab();
    lab.connect();
    await lab.publishMany(5, 60_000);
    const drained = lab.outbox.drain(Promise.resolve());
    await lab.flush();
    await drained;
    expect(lab.outcomes).toEqual(times(5, 'spooled'));
    expect(lab.disk.ids).toEqual(ids(1, 5));
  });

  it('rejects what a full spool does not take', async () => {
    const lab = new SpoolingLab();
    lab.spool.messagesMax = 1;
    await lab.publishMany(2, 60_000);
    const drained = lab.outbox.drain(Promise.resolve());
    await lab.flush();
    await drained;
    expect(lab.outcomes).toEqual(['spooled', 'ERR_STOPPED']);
  });
});
