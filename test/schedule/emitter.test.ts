import { expect, it } from 'vitest';
import type { Refusals, Session } from '../../src/backend.js';
import { Fence } from '../../src/flow/fence.js';
import { QueueFullError, PayloadError } from '../../src/model/errors.js';
import type { Envelope } from '../../src/model/message.js';
import type { Emission } from '../../src/schedule/emission.js';
import { Emitter } from '../../src/schedule/emitter.js';
import { Pauses } from '../../src/schedule/pauses.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { FakeOwnership } from '../flow/fake-broker.js';

const emission = (number: number): Emission => ({
  ...{ number, topic: 'a.b', body: '1', types: undefined, headers: {}, time: 0 },
});

it('an emission that is refused among others of one answer is sent again, or told of', async () => {
  const environment = virtualEnvironment();
  const ownership = new FakeOwnership();
  const sent: string[] = [];
  let batch: Envelope[] = [];
  let isFirst = true;
  // One answer for all of a turn, as a hub in another process gives.
  let answer: Promise<Refusals | void> | undefined;
  const publish: Session['publish'] = (envelope) => {
    sent.push(`${envelope.id}${envelope.resent ? ' again' : ''}`);
    batch.push(envelope);
    answer ??= Promise.resolve().then(() => {
      const [first, second] = batch;
      const refusals = isFirst
        ? new Map<Envelope, Error>([
            [first!, new PayloadError('never')],
            [second!, new QueueFullError(['full'])],
          ])
        : undefined;
      [isFirst, answer, batch] = [false, undefined, []];
      return refusals;
    });
    return answer;
  };
  const refused: string[] = [];
  const emitter = new Emitter(
    {
      ...{
        session: { publish },
        ownership,
        pauses: new Pauses(environment.clock),
        random: environment.random,
      },
      ...{ fence: new Fence(ownership, () => {}), source: 's' },
      open: () => [[1, Infinity]],
      refused: (_, id, error) => refused.push(`${id} ${error.message}`),
      hasEnded: () => false,
    },
    0,
  );
  const published = emitter.publish([emission(1), emission(2), emission(3)]);
  await environment.clock.advance(60_000);
  expect(await published).toBe(true);
  expect(refused).toEqual(['id-1 never']);
  expect(sent).toEqual(['id-1', 'id-2', 'id-3', 'id-2 again']);
});
