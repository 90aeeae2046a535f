import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend.js';
import type { HubSession } from '../../src/backends/hub/hub-session.js';
import { memoryBackend } from '../../src/backends/memory/index.js';
import type { MasterOptions, Message, TimeoutError } from '../../src/index.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { AccessError, ConnectError } from '../../src/model/errors.js';
import { eventually, rejection } from '../eventually.js';
import { farm } from './farm.js';

describe('while there is no session', () => {
  /** A master whose session is cut, and whose broker does not come back before it is told to. */
  async function cutOff(options: Partial<MasterOptions> = {}) {
    const hub = memoryBackend();
    let isDown = false;
    let refusal: Error = new ConnectError('Down.');
    const sessions: HubSession[] = [];
    const broker: Backend = {
      name: 'broker',
      connect: async (request) => {
        if (isDown) throw refusal;
        const session = (await hub.connect(request)) as HubSession;
        sessions.push(session);
        return session;
      },
    };
    const environment = { ...systemEnvironment, random: () => 0 };
    const master = await farm()('a', { broker, environment, ...options });
    const cut = (error?: Error) => {
      isDown = true;
      if (error) refusal = error;
      sessions.at(-1)!.drop(new Error('The line is cut.'));
    };
    return { master, cut, mend: () => (isDown = false) };
  }

  it('subscribe and consume reject at their deadline, and nothing of them comes to life later', async () => {
    const { master, cut, mend } = await cutOff({ connectTimeoutMs: 50 });
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    let calls = 0;
    const count = () => {
      calls++;
    };
    const [heard, consumed] = await Promise.all([
      rejection(master.subscribe('a', count)),
      rejection(master.consume('q', { bindings: ['a'] }, count)),
    ]);
    expect([heard.code, consumed.code]).toEqual(['ERR_DEADLINE', 'ERR_DEADLINE']);
    mend();
    await eventually('the session is back', () => master.status === 'ready');
    await master.publish('a', 1);
    expect([calls, await master.queues()]).toEqual([0, []]);
  });

  it('subscribe ends by its signal', async () => {
    const { master, cut } = await cutOff();
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    const controller = new AbortController();
    const subscribing = rejection(master.subscribe('a', { signal: controller.signal }, () => {}));
    controller.abort(new Error('enough'));
    expect((await subscribing).message).toBe('enough');
  });

  it('a publish past its deadline says that it was not sent, and can be retried under its id', async () => {
    const { master, cut, mend } = await cutOff();
    const got: Message[] = [];
    await master.consume('q', { bindings: ['a'] }, (message) => void got.push(message));
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    const error = await rejection(master.publish('a', 1, { timeoutMs: 20 }));
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'not-sent' });
    const retried = (error as TimeoutError).retry();
    mend();
    expect(await retried).toEqual({ id: (error as TimeoutError).id, outcome: 'confirmed' });
    await eventually('it is handled', () => got.length === 1);
    expect(got[0]!.id).toBe((error as TimeoutError).id);
    expect(await rejection((error as TimeoutError).retry())).toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
  });

  it('publishes wait in a bounded line', async () => {
    const { master, cut, mend } = await cutOff({ publishWindow: 1 });
    cut();
    await eventually('the session is lost', () => master.status === 'waiting');
    const waiting = Array.from({ length: 100 }, (_, at) => master.publish('a', at));
    expect(await rejection(master.publish('a', 'too much'))).toMatchObject({ code: 'ERR_OUTBOX_FULL' });
    mend();
    expect(new Set((await Promise.all(waiting)).map(({ outcome }) => outcome))).toEqual(
      new Set(['confirmed']),
    );
  });

  it('a broker that then refuses for good fails the master, and whoever waits is told', async () => {
    const { master, cut } = await cutOff();
    const done = rejection(master.done);
    const waiting = rejection(master.waitFor('a', { timeoutMs: 60_000 }));
    const stream = await master.messages('a');
    const next = stream.next();
    cut(new AccessError('The password has changed.'));
    expect(await done).toMatchObject({ code: 'ERR_ACCESS' });
    expect(await waiting).toMatchObject({ code: 'ERR_STOPPED' });
    expect(await next).toEqual({ done: true, value: undefined });
    expect(master.status).toBe('failed');
  });

  it('a paused consumer stays paused when the session comes back', async () => {
    const { master, cut, mend } = await cutOff();
    const consumer = await master.consume('q', { bindings: ['a'] }, () => {});
    consumer.pause();
    cut();
    await eventually('the session is lost', () => consumer.status === 'waiting');
    mend();
    await consumer.until('paused');
  });
});
