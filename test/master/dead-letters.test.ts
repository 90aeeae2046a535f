import { describe, expect, it } from 'vitest';
import { RejectError, type DeadLetter, type Master } from '../../src/index.js';
import { Payload } from '../../src/model/payload.js';
import { collect } from '../../src/testing/cases/records.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { eventually, rejection } from '../eventually.js';
import { farm, tampered, timeUntil } from './farm.js';

/** A queue with dead letters of this data. */
async function withLetters(master: Master, data: readonly unknown[]) {
  const got: [unknown, number, boolean][] = [];
  let rejects = true;
  await master.consume('q', { bindings: ['a'] }, (message, { attempt, redelivered }) => {
    if (rejects) throw new RejectError(`no ${String(message.data)}`);
    got.push([message.data, attempt, redelivered]);
  });
  let letters = 0;
  const off = master.on('dead-letter', () => letters++);
  for (const item of data) await master.publish('a', item);
  await eventually('all are dead letters', () => letters === data.length);
  off();
  return { got, accept: () => (rejects = false) };
}

const dataOf = (letters: DeadLetter[]) => letters.map(({ message }) => message.data);

describe('dead letters', () => {
  it('are read with their message, reason, error, attempts and time, oldest first', async () => {
    const create = farm();
    const [master, other] = [await create('a'), await create('b')];
    await withLetters(master, [1, { two: new Date(2) }]);
    const letters = await collect(other.deadLetters('q'));
    expect(dataOf(letters)).toEqual([1, { two: new Date(2) }]);
    const [{ id, message, reason, error, attempts, at }] = letters as [DeadLetter];
    expect({ reason, error, attempts }).toEqual({ reason: 'rejected', error: 'no 1', attempts: 1 });
    expect(message).toMatchObject({ topic: 'a', source: 'a', headers: {} });
    expect(id).toContain(message.id);
    expect(letters[0]!.history).toEqual([{ attempt: 1, at: expect.any(Date) as Date, error: 'no 1' }]);
    expect(Math.abs(at.getTime() - Date.now())).toBeLessThan(60_000);
  });

  it('are redriven, all or by id, flagged and with attempt 1, and then are no letters any more', async () => {
    const master = await farm()('a');
    const { got, accept } = await withLetters(master, [1, 2, 3]);
    const [, second] = await collect(master.deadLetters('q'));
    accept();
    expect(await master.redrive('q', { ids: [second!.id, 'no such letter'] })).toBe(1);
    expect(await master.redrive('q', { ids: [] })).toBe(0);
    expect(await master.redrive('q')).toBe(2);
    await eventually('they are handled', () => got.length === 3);
    expect(got).toEqual([
      [2, 1, true],
      [1, 1, true],
      [3, 1, true],
    ]);
    expect(await collect(master.deadLetters('q'))).toEqual([]);
  });

  it('are redriven one by one while they are read, also when the loop is left', async () => {
    const master = await farm()('a');
    const { got, accept } = await withLetters(master, [1, 2, 3]);
    accept();
    for await (const { id, message } of master.deadLetters('q')) {
      if (message.data === 3) break;
      await master.redrive('q', { ids: [id] });
    }
    await eventually('two are handled', () => got.length === 2);
    expect(dataOf(await collect(master.deadLetters('q')))).toEqual([3]);
  });

  it('are dropped, by id or all', async () => {
    const master = await farm()('a');
    await withLetters(master, [1, 2, 3]);
    const [first] = await collect(master.deadLetters('q'));
    expect(await master.dropDeadLetters('q', { ids: [first!.id] })).toBe(1);
    expect(dataOf(await collect(master.deadLetters('q')))).toEqual([2, 3]);
    expect(await master.dropDeadLetters('q')).toBe(2);
    expect(await collect(master.deadLetters('q'))).toEqual([]);
  });

  it('have a message also when nobody could read it', async () => {
    const broker = tampered((session) => {
      const publish = session.publish.bind(session);
      session.publish = (envelope, fence) =>
        publish({ ...envelope, payload: Payload.decode('{"not": JSON', undefined) }, fence);
    });
    const master = await farm()('a', { broker });
    await withLetters(master, [1]);
    const [letter] = await collect(master.deadLetters('q'));
    expect(letter).toMatchObject({ reason: 'undecodable', attempts: 0 });
    expect(letter!.message).toMatchObject({ topic: 'a', data: undefined });
  });

  it('of a queue that does not exist are an error', async () => {
    const master = await farm()('a');
    for (const call of [collect(master.deadLetters('q')), master.redrive('q'), master.dropDeadLetters('q')])
      expect(await rejection(call)).toMatchObject({ code: 'ERR_QUEUE_NOT_FOUND' });
  });

  it('have a deadline and a signal, and what was read is let go', async () => {
    const environment = virtualEnvironment();
    let letGo = 0;
    const never = () => new Promise<never>(() => {});
    const broker = tampered((session) => {
      session.redrive = session.dropDeadLetters = never;
      session.deadLetters = () => ({
        [Symbol.asyncIterator]: () => ({
          next: never,
          return: () => Promise.resolve({ done: true, value: ++letGo }),
        }),
      });
    });
    const master = await farm()('a', { broker, environment });
    const options = { timeoutMs: 100 };
    for (const call of [
      () => collect(master.deadLetters('q', options)),
      () => master.redrive('q', options),
      () => master.dropDeadLetters('q', options),
    ]) {
      const refused = rejection(call());
      expect(await timeUntil(environment.clock, refused)).toBe(100);
      expect(await refused).toMatchObject({ code: 'ERR_DEADLINE' });
    }
    const controller = new AbortController();
    const reading = rejection(collect(master.deadLetters('q', { signal: controller.signal })));
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await reading).toBe(reason);
    await environment.clock.advance(0);
    expect([letGo, environment.clock.pending]).toEqual([2, 0]);
  });

  it('refuse bad options at once', async () => {
    const master = await farm()('a');
    expect(() => master.deadLetters('no name!')).toThrow(/no name!/);
    expect(() => master.deadLetters('q', { ids: [] } as never)).toThrow(/ids/);
    for (const ids of ['one', [1], null])
      expect(await rejection(master.redrive('q', { ids } as never))).toMatchObject({ code: 'ERR_OPTION' });
  });
});
