import { describe, expect, it } from 'vitest';
import type { Ownership } from '../../src/backend.js';
import type { HubSession } from '../../src/backends/hub/hub-session.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { BrokerFullError, ConnectError } from '../../src/model/errors.js';
import { eventually, rejection } from '../eventually.js';
import { farm, tampered } from './farm.js';

describe('supervision', () => {
  it('starts a subscriber again when its broker refuses it for now', async () => {
    let refusals = 2;
    const broker = tampered((session) => {
      const listen = session.listen.bind(session);
      session.listen = (sink) =>
        refusals-- > 0 ? Promise.reject(new ConnectError('Not now.')) : listen(sink);
    });
    const master = await farm()('a', { broker });
    const restarts: unknown[] = [];
    master.on('restart', ({ child, reason, count }) => restarts.push([child, reason.message, count]));
    const got: unknown[] = [];
    await master.subscribe('a', ({ data }) => void got.push(data));
    await master.publish('a', 1);
    await eventually('it is handled', () => got.length === 1);
    expect(restarts).toEqual([
      ['subscriber-1', 'Not now.', 1],
      ['subscriber-1', 'Not now.', 2],
    ]);
  });

  it('starts a consumer again when its claim, or its bindings, are refused for now', async () => {
    let refusals = 1;
    let unbound = 1;
    const broker = tampered((session) => {
      const claim = session.claim.bind(session);
      session.claim = (queue, sink) => {
        if (refusals-- > 0) return Promise.reject(new BrokerFullError('No room.'));
        const granted = (ownership: Ownership) => {
          const bind = ownership.bind.bind(ownership);
          ownership.bind = (patterns) =>
            unbound-- > 0 ? Promise.reject(new ConnectError('Not now.')) : bind(patterns);
          sink.granted(ownership);
        };
        return claim(queue, { ...sink, granted });
      };
    });
    const environment = { ...systemEnvironment, random: () => 0 };
    const master = await farm()('a', { broker, environment });
    const restarts: unknown[] = [];
    master.on('restart', ({ reason }) => restarts.push(reason.message));
    const got: unknown[] = [];
    const consumer = await master.consume('q', { bindings: ['a'] }, ({ data }) => void got.push(data));
    expect([consumer.status, restarts]).toEqual(['active', ['No room.', 'Not now.']]);
    await master.publish('a', 1);
    await eventually('it is handled', () => got.length === 1);
  });

  it('does with a queue that is deleted before it is claimed what ifDeleted says', async () => {
    const broker = tampered((session) => {
      const claim = session.claim.bind(session);
      session.claim = async (queue, sink) => {
        session.claim = claim;
        await session.deleteQueue(queue, { whileInUse: true });
        return claim(queue, sink);
      };
    });
    const options = { bindings: ['a'] };
    const master = await farm()('a', { broker });
    const keen = await master.consume('q', { ...options, ifDeleted: 'recreate' }, () => {});
    expect(keen.status).toBe('active');
    const other = await farm()('b', { broker });
    const error = await rejection(other.consume('r', options, () => {}));
    expect(error).toMatchObject({ code: 'ERR_QUEUE_DELETED' });
  });

  it('gives up a consumer that crashes again and again, and nobody else', async () => {
    const broker = tampered((session) => {
      session.declareQueue = () => Promise.reject(new ConnectError('Never.'));
    });
    const environment = { ...systemEnvironment, random: () => 0 };
    const master = await farm()('a', { broker, environment });
    const lost: unknown[] = [];
    master.on('lost', ({ queue }) => lost.push(queue));
    const other = await master.subscribe('a', () => {});
    const error = await rejection(master.consume('q', { bindings: ['a'] }, () => {}));
    expect(error).toMatchObject({ code: 'ERR_RESTART_INTENSITY', cause: { message: 'Never.' } });
    // It rejects; it is no event as well.
    expect([lost, other.status, master.status]).toEqual([[], 'active', 'ready']);
  });

  it('comes back by itself when the session is lost, and announces one gap for each subscription', async () => {
    const sessions: HubSession[] = [];
    const broker = tampered((session) => sessions.push(session as HubSession));
    const environment = { ...systemEnvironment, random: () => 0 };
    const master = await farm()('a', { broker, environment });
    const states: string[] = [];
    const gaps: unknown[] = [];
    master.on('session', ({ state }) => states.push(state));
    master.on('gap', ({ subscription, reason }) => gaps.push([subscription.patterns, reason]));
    const heard: unknown[] = [];
    const handled: unknown[] = [];
    const subscription = await master.subscribe('a', ({ data }) => void heard.push(data));
    const consumer = await master.consume('q', { bindings: ['a'] }, ({ data }) => void handled.push(data));
    sessions[0]!.drop(new Error('The line is cut.'));
    const confirmed = master.publish('a', 'again');
    await consumer.until('active');
    await eventually('the subscriber is back', () => subscription.status === 'active');
    await confirmed;
    await eventually('it is handled', () => handled.length > 0);
    expect(states).toEqual(['waiting', 'connecting', 'connected']);
    expect(gaps).toEqual([[['a'], 'reconnect']]);
    expect(handled).toEqual(['again']);
    await master.publish('a', 'later');
    await eventually('it is heard', () => heard.includes('later'));
  });

  it('leaves no actor behind when handles stop', async () => {
    const master = await farm()('a');
    const handles = [];
    for (let at = 0; at < 250; at++) handles.push(await master.subscribe(`a.${at}`, () => {}));
    const consumer = await master.consume('q', { bindings: ['a'] }, () => {});
    const groups = () => {
      const { children } = master.actor.getSnapshot() as {
        children: { supervisor: { getSnapshot(): object } };
      };
      return (children.supervisor.getSnapshot() as { context: { children: unknown[] } }).context.children
        .length;
    };
    expect(groups()).toBe(3);
    await Promise.all([...handles.map((handle) => handle.stop()), consumer.stop()]);
    await eventually('the groups are gone', () => groups() === 0);
  });
});
