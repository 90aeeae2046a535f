import { describe, expect, it } from 'vitest';
import type { ClaimSink, Ownership } from '../../src/backend.js';
import type { HubSession } from '../../src/backends/hub/hub-session.js';
import type { Master } from '../../src/index.js';
import { systemEnvironment } from '../../src/model/clock.js';
import { FencedError } from '../../src/model/errors.js';
import { eventually } from '../eventually.js';
import { farm, tampered } from './farm.js';

const environment = { ...systemEnvironment, random: () => 0 };
const options = { bindings: ['a'] };

/** What a master tells of ownerships; what a take-over took is `some`, if it took any time. */
function told(master: Master) {
  const events: [string, string, number, 'some' | 0][] = [];
  master.on('owner', ({ queue, status, epoch, takeoverMs }) =>
    events.push([queue, status, epoch, takeoverMs > 0 ? 'some' : 0]),
  );
  return events;
}

describe('owner events', () => {
  it('tell who owns the queue and under which epoch, and that a stop has ended it', async () => {
    const create = farm();
    const [one, two] = [await create('one'), await create('two')];
    const [ofOne, ofTwo] = [told(one), told(two)];
    const first = await one.consume('q', options, () => {});
    await eventually('the first owns it', () => ofOne.length === 1);
    const { epoch } = (await one.queues())[0]!;
    const second = await two.consume('q', options, () => {});
    expect(ofTwo).toEqual([['q', 'standby', epoch, 0]]);
    await first.stop();
    await second.until('active');
    await eventually('the second owns it', () => ofTwo.length === 2);
    expect(ofOne).toEqual([
      ['q', 'active', epoch, 'some'],
      ['q', 'stopped', epoch, 0],
    ]);
    expect(ofTwo[1]).toEqual(['q', 'active', epoch + 1, 'some']);
  });

  it('speak of no take-over after a pause', async () => {
    const master = await farm()('a');
    const events = told(master);
    const consumer = await master.consume('q', options, () => {});
    await eventually('it owns the queue', () => events.length === 1);
    consumer.pause();
    await consumer.until('paused');
    consumer.resume();
    await eventually('it consumes again', () => events.length === 2);
    expect(events.map(([, status, , takeover]) => [status, takeover])).toEqual([
      ['active', 'some'],
      ['active', 0],
    ]);
    expect(events[1]![2]).toBe(events[0]![2]);
  });

  it('tell that the loss of the session has ended it', async () => {
    const sessions: HubSession[] = [];
    const broker = tampered((session) => sessions.push(session as HubSession));
    const master = await farm()('a', { broker, environment });
    const events = told(master);
    await master.consume('q', options, () => {});
    await master.consume('shared', { ...options, ownership: 'shared' }, () => {});
    await eventually('it owns the queue', () => events.length === 1);
    sessions[0]!.drop(new Error('The line is cut.'));
    await eventually('it owns the queue again', () => events.length === 3);
    const epoch = events[0]![2];
    expect(events.slice(1)).toEqual([
      ['q', 'waiting', epoch, 0],
      ['q', 'active', epoch + 1, 'some'],
    ]);
  });

  it('tell the epoch that was fenced, and then that of each new owner', async () => {
    let sink!: ClaimSink;
    let ownership!: Ownership;
    const broker = tampered((session) => {
      const claim = session.claim.bind(session);
      session.claim = (queue, given) => {
        sink = given;
        return claim(queue, {
          ...given,
          granted: (granted) => {
            ownership = granted;
            given.granted(granted);
          },
        });
      };
    });
    const master = await farm()('a', { broker });
    const events = told(master);
    const consumer = await master.consume('q', options, () => {});
    await eventually('it owns the queue', () => events.length === 1);
    sink.fenced(new FencedError('A higher epoch exists.'));
    await consumer.until('standby');
    const { epoch, queueId } = ownership;
    for (const next of [epoch + 1, epoch + 2]) sink.standby({ owner: 'b', epoch: next, queueId });
    expect(events.slice(1)).toEqual([
      ['q', 'fenced', epoch, 0],
      ['q', 'standby', epoch + 1, 0],
      ['q', 'standby', epoch + 2, 0],
    ]);
  });
});
