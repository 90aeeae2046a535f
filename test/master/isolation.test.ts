import { describe, expect, it } from 'vitest';
import type { TransientQueue, TransientSink } from '../../src/backend.js';
import { eventually } from '../eventually.js';
import { farm, started, tampered } from './farm.js';
import { createMaster } from '../../src/index.js';

describe("a subscriber with isolation: 'queue'", () => {
  /** A master whose broker keeps account of its transient queues. */
  async function watched() {
    const queues: { sink: TransientSink; isOpen: boolean; patterns: Set<string> }[] = [];
    const broker = tampered((session) => {
      const listen = session.listen.bind(session);
      session.listen = async (sink) => {
        const queue = await listen(sink);
        const account = { sink, isOpen: true, patterns: new Set<string>() };
        queues.push(account);
        const watched: TransientQueue = {
          bind: async (pattern) => {
            await queue.bind(pattern);
            account.patterns.add(pattern);
          },
          unbind: async (pattern) => {
            await queue.unbind(pattern);
            account.patterns.delete(pattern);
          },
          close: async () => {
            await queue.close();
            account.isOpen = false;
          },
        };
        return watched;
      };
    });
    const master = await createMaster({ name: 'a', broker });
    started.push(master);
    return { master, queues };
  }

  it('has a queue of its own, which ends with it', async () => {
    const { master, queues } = await watched();
    const shared: unknown[] = [];
    const own: unknown[] = [];
    await master.subscribe('a.*', ({ data }) => shared.push(data));
    await master.subscribe('b', ({ data }) => shared.push(data));
    const options = { isolation: 'queue' } as const;
    const apart = await master.subscribe({ patterns: ['a.*', '#'] }, options, ({ data }) => own.push(data));
    expect(queues.map(({ patterns }) => [...patterns])).toEqual([
      ['a.*', 'b'],
      ['a.*', '#'],
    ]);
    await master.publish('a.b', 1);
    await master.publish('b', 2);
    await master.publish('c', 3);
    await eventually('all arrive', () => own.length >= 3 && shared.length >= 2);
    expect([own, shared]).toEqual([
      [1, 2, 3],
      [1, 2],
    ]);
    await apart.stop();
    expect(queues.map(({ isOpen }) => isOpen)).toEqual([true, false]);
    await master.publish('a.b', 4);
    await eventually('the others go on', () => shared.includes(4));
    expect(own).toEqual([1, 2, 3]);
  });

  it('alone is told of what the broker left out for it', async () => {
    const { master, queues } = await watched();
    const gaps: unknown[] = [];
    master.on('gap', ({ subscription, missed }) => gaps.push([subscription, missed]));
    const shared = await master.subscribe('a', () => {});
    const apart = await master.subscribe('a', { isolation: 'queue' }, () => {});
    queues[1]!.sink.missed(7);
    queues[0]!.sink.missed(undefined);
    expect(gaps).toEqual([
      [apart, 7],
      [shared, undefined],
    ]);
  });

  it('is refused by another word', async () => {
    const master = await farm()('a');
    const wrong = { isolation: 'mine' as never };
    await expect(master.subscribe('a', wrong, () => {})).rejects.toMatchObject({ code: 'ERR_OPTION' });
  });
});
