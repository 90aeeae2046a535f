import { describe, expect, it } from 'vitest';
import { createMaster } from '../../src/index.js';
import { rejection } from '../eventually.js';
import { farm } from './farm.js';

describe('bad input', () => {
  it('is refused with a code and a text that names it, before anything is sent', async () => {
    const master = await farm()('a');
    const refused: [Promise<unknown>, string, RegExp][] = [
      [master.publish('a..b', 1), 'ERR_TOPIC', /a\.\.b/],
      [master.publish('a.*', 1), 'ERR_TOPIC', /\*/],
      [master.publish('a', () => {}), 'ERR_PAYLOAD', /data/],
      [master.publish('a', { deep: { here: Symbol('x') } }), 'ERR_PAYLOAD', /deep\.here/],
      [master.publish('a', 'x'.repeat(1_000_001)), 'ERR_PAYLOAD_TOO_LARGE', /1000000/],
      [master.publish('a', 1, { headers: { 'no good': 'x' } }), 'ERR_PAYLOAD', /no good/],
      [master.publish('a', 1, { timeoutMs: 0 }), 'ERR_OPTION', /timeoutMs/],
      [master.subscribe('#.a.#.b.#', () => {}), 'ERR_PATTERN', /#/],
      [master.subscribe({ patterns: [] }, () => {}), 'ERR_OPTION', /patterns/],
      [master.subscribe('a', 'no handler' as never), 'ERR_OPTION', /handler/],
      [master.subscribe('a', { mailbox: { limit: 0 } }, () => {}), 'ERR_OPTION', /mailbox\.limit/],
      [master.consume('no name!', { bindings: ['a'] }, () => {}), 'ERR_NAME', /no name!/],
      [master.consume('q', { bindings: [] }, () => {}), 'ERR_OPTION', /bindings/],
      [master.consume('q', { bindings: ['a'], ownership: 'mine' as never }, () => {}), 'ERR_OPTION', /mine/],
      [master.publish('a', 1, { signal: 5 as never }), 'ERR_OPTION', /signal/],
      [master.publish('a', 1, { signal: null as never }), 'ERR_OPTION', /signal/],
      [master.subscribe('a', { signal: 5 as never }, () => {}), 'ERR_OPTION', /signal/],
      [master.messages('a', { signal: {} as never }), 'ERR_OPTION', /signal/],
      [master.messages('a', null as never), 'ERR_OPTION', /messages/],
      [master.consume('q', { bindings: ['a'], signal: 5 as never }, () => {}), 'ERR_OPTION', /signal/],
      [master.subscribe('a', { mailbox: null as never }, () => {}), 'ERR_OPTION', /mailbox/],
      [master.subscribe('a', { mailbox: { size: 5 } as never }, () => {}), 'ERR_OPTION', /size/],
      [master.subscribe({ patterns: ['a'], exact: true } as never, () => {}), 'ERR_OPTION', /exact/],
      [master.consume('q', { bindings: ['a'], retry: null as never }, () => {}), 'ERR_OPTION', /retry/],
      [master.consume('q', { bindings: ['a'], limit: null as never }, () => {}), 'ERR_OPTION', /limit/],
      [
        master.consume(
          'q',
          { bindings: ['a'], limit: { messages: 1, onFull: 'drop-oldest', bytes: 5 } as never },
          () => {},
        ),
        'ERR_OPTION',
        /bytes/,
      ],
      [
        master.consume('q', { bindings: ['a'], retry: { minDelayMs: 200, maxDelayMs: 100 } }, () => {}),
        'ERR_OPTION',
        /minDelayMs/,
      ],
      [master.deleteQueue('nowhere'), 'ERR_QUEUE_NOT_FOUND', /nowhere/],
      [master.subscribe(null as never, () => {}), 'ERR_PATTERN', /Pattern/],
      [master.subscribe('a', null as never, () => {}), 'ERR_OPTION', /subscribe/],
      [master.publish('a', 1, null as never), 'ERR_OPTION', /publish/],
      [master.consume('q', { bindings: ['a'], expiresMs: 0 }, () => {}), 'ERR_OPTION', /expiresMs/],
      [master.consume('q', undefined as never, () => {}), 'ERR_OPTION', /consume/],
      [master.consume('q', { bindings: ['a'], orderBy: 5 as never }, () => {}), 'ERR_OPTION', /orderBy/],
      [master.waitFor('a', { timeoutMs: Infinity }), 'ERR_OPTION', /timeoutMs/],
      [createMaster(undefined as never), 'ERR_OPTION', /createMaster/],
      [createMaster({ name: 'a', broker: 'memory:', queue: './x' } as never), 'ERR_OPTION', /queue/],
      [createMaster({ name: 'a', broker: 'memory:', spool: '' }), 'ERR_OPTION', /spool/],
      [
        createMaster({ name: 'a', broker: 'memory:', spool: { folder: 'x', bytesMax: 0 } }),
        'ERR_OPTION',
        /bytesMax/,
      ],
      [createMaster({ name: '', broker: 'memory:' }), 'ERR_NAME', /master/],
      [createMaster({ name: 'a', broker: 'gopher://user:secret@host' }), 'ERR_BROKER_URL', /gopher:/],
      [createMaster({ name: 'a', broker: 'memory:', publishWindow: 1.5 }), 'ERR_OPTION', /publishWindow/],
    ];
    for (const [promise, code, text] of refused) {
      const error = await rejection(promise);
      expect(error).toMatchObject({ code, message: expect.stringMatching(text) as string });
      expect(error.message).not.toContain('secret');
    }
  });

  it('names the difference when a queue exists with other settings', async () => {
    const create = farm();
    const master = await create('a');
    await master.consume('q', { bindings: ['a'] }, () => {});
    const error = await rejection(
      (await create('b')).consume('q', { bindings: ['a'], ownership: 'shared', expiresMs: 5_000 }, () => {}),
    );
    expect(error).toMatchObject({ code: 'ERR_QUEUE_SETTINGS' });
    expect(error.message).toMatch(/ownership.*exclusive.*shared.*expiresMs.*none.*5000/);
  });

  it('is refused when it names an event that does not exist', async () => {
    const master = await farm()('a');
    expect(() => master.on('nope' as never, () => {})).toThrow(/nope.*session/);
  });
});
