import assert from 'node:assert/strict';
import { DecodeError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { Payload } from '../../model/payload.js';
import { casesOf } from './case.js';
import type { Lab } from './lab.js';

export const envelopeCases = casesOf('publish', {
  'carries id, topic, time, source and headers as they are': async (lab) => {
    const sent = lab.envelope('builds.17.started', 1, {
      time: lab.environment.clock.wall() - 86_400_123,
      source: 'signalbox:namespace/a-master',
      headers: {
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        'x-empty': '',
        'X-Mixed-Case': 'grüße, 世界 🚦',
        'x-percent': '100%25 "quoted", \\back; a=b',
      },
    });
    for (const received of await roundTrip(lab, sent)) {
      assert.equal(received.id, sent.id);
      assert.equal(received.topic, sent.topic);
      assert.equal(received.time, sent.time);
      assert.equal(received.source, sent.source);
      assert.deepEqual({ ...received.headers }, sent.headers);
    }
  },

  'carries data of every type': async (lab) => {
    const data = {
      text: 'grüße, 世界 🚦\u0000\u2028',
      numbers: [0, -0, 1.5, -1e300, NaN, Infinity, -Infinity],
      nothing: [null, undefined],
      at: new Date(1_700_000_000_123),
      big: 2n ** 200n,
      bytes: Uint8Array.from({ length: 256 }, (_, byte) => byte),
      map: new Map<unknown, unknown>([
        ['key', new Set([1, new Date(0)])],
        [{ a: 1 }, 1n],
      ]),
      nested: { deep: [{ er: [] }] },
    };
    for (const received of await roundTrip(lab, lab.envelope('a.b', data)))
      assert.deepEqual(received.payload.value(), data);
  },

  'carries data that is nearly nothing': async (lab) => {
    for (const data of [undefined, null, '', 0, false, [], {}])
      for (const received of await roundTrip(lab, lab.envelope('a.b', data)))
        assert.deepEqual(received.payload.value(), data);
  },

  "carries the producer's open numbers": async (lab) => {
    const open = [1, 3, 5, 7, 9, 11, 13].map((number) => [number, number] as const);
    const origin = { producer: 'producer', sequence: 21, open: [...open, [20, Infinity] as const] };
    for (const received of await roundTrip(lab, lab.envelope('a.b', 1, { id: 'producer-21', origin })))
      assert.deepEqual(received.origin, origin);
  },

  'says of a copy that it was sent again': async (lab) => {
    for (const received of await roundTrip(lab, lab.envelope('a.b', 1, { resent: true })))
      assert.equal(received.resent, true);
    for (const received of await roundTrip(lab, lab.envelope('a.b', 1))) assert.equal(received.resent, false);
  },

  'carries a message without origin, of whatever id': async (lab) => {
    for (const id of ['1', 'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66', 'ünï/çode id', 'producer-21']) {
      const sent = lab.envelope('a.b', 1, { id, origin: undefined, source: 'https://example.com/ci' });
      for (const received of await roundTrip(lab, sent)) {
        assert.equal(received.id, id);
        assert.equal(received.origin, undefined);
        assert.equal(received.source, sent.source);
      }
    }
  },

  'carries a body that nobody can read, so that it can be dead-lettered': async (lab) => {
    const payload = Payload.decode('{"not": JSON', undefined);
    for (const received of await roundTrip(lab, lab.envelope('a.b', undefined, { payload })))
      assert.throws(() => received.payload.value(), DecodeError);
  },

  'carries a message of nearly a million bytes': async (lab) => {
    const data = { text: 'ü€🚦 log line\n'.repeat(45_000), last: 'end' };
    assert(Buffer.byteLength(JSON.stringify(data)) > 900_000);
    for (const received of await roundTrip(lab, lab.envelope('a.b', data)))
      assert.deepEqual(received.payload.value(), data);
  },
});

/** The message as a durable queue and as a transient one of another master give it. */
async function roundTrip(lab: Lab, sent: Envelope): Promise<Envelope[]> {
  const publisher = await lab.connect(lab.unique('publisher'));
  const receiver = await lab.connect(lab.unique('receiver'));
  const queue = lab.unique('queue');
  await receiver.share(queue, [sent.topic]);
  const ear = await receiver.listen([sent.topic]);
  const { sink } = await receiver.consume(queue);
  await publisher.session.publish(sent);
  await lab.eventually(() => sink.deliveries.length === 1, 'the durable queue delivers it');
  await lab.eventually(() => ear.sink.envelopes.length === 1, 'the transient queue receives it');
  await publisher.session.close();
  await receiver.session.close();
  return [sink.deliveries[0]!.envelope, ear.sink.envelopes[0]!];
}
