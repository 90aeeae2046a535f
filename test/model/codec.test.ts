import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkHeaders,
  decodeEnvelope,
  encodeEnvelope,
  originOf,
  type ReceivedMessage,
} from '../../src/model/codec.js';
import { DecodeError, PayloadError } from '../../src/model/errors.js';
import type { Envelope, OpenNumbers } from '../../src/model/message.js';
import { Payload } from '../../src/model/payload.js';

const endless: OpenNumbers = [[1, Infinity]];

function envelopeOf(overrides: Partial<Envelope> = {}): Envelope {
  return {
    id: 'abc-17',
    topic: 'builds.17.started',
    time: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    source: 'signalbox:farm/build-1',
    headers: checkHeaders(undefined),
    payload: Payload.of({ builder: 'linux' }, { maxBytes: 1_000 }),
    origin: {
      producer: 'abc',
      sequence: 17,
      open: [
        [5, 7],
        [9, Infinity],
      ],
    },
    resent: false,
    fence: undefined,
    ...overrides,
  };
}

function received(overrides: Partial<ReceivedMessage> = {}): ReceivedMessage {
  return {
    topic: 'a.b',
    attributes: {},
    headers: {},
    body: '{"a":1}',
    fallbackId: 'fallback',
    receivedAt: 42,
    ...overrides,
  };
}

/** Sent and received, through a broker that gives bytes. */
function sent(envelope: Envelope): Envelope {
  const { attributes, headers, body } = encodeEnvelope(envelope);
  const { topic } = envelope;
  return decodeEnvelope({
    topic,
    attributes,
    headers,
    body: Buffer.from(body),
    fallbackId: 'fallback',
    receivedAt: 0,
  });
}

const headerName = fc
  .oneof(
    fc.constantFrom(
      'traceparent',
      'tracestate',
      '__proto__',
      'constructor',
      'id',
      'type',
      'time',
      'source',
      'signalboxopen',
    ),
    fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 }),
  )
  .filter((name) => /^[!-9;-~]+$/.test(name) && !/^(ce-|cloudevents)/i.test(name));
const headerValue = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => !/\p{Cc}/u.test(value));
const headers = fc
  .array(fc.tuple(headerName, headerValue), { maxLength: 5 })
  .map(
    (entries) => Object.assign(Object.create(null), Object.fromEntries(entries)) as Record<string, string>,
  );

describe('an envelope', () => {
  test('comes back as it was sent', () => {
    const envelope = fc.record({
      producer: fc.constantFrom('abc', 'a-b', '0v'),
      sequence: fc.integer({ min: 9, max: Number.MAX_SAFE_INTEGER }),
      topic: fc.constantFrom('a', 'builds.17.started', 'ü.%2E'),
      time: fc.date({ noInvalidDate: true }).map((date) => date.getTime()),
      source: fc.constantFrom('', 'signalbox:farm/build-1'),
      headers: headers.map(checkHeaders),
      data: fc.constantFrom<unknown>({ a: 1 }, undefined, new Date(5), [1n], 'ü'),
      known: fc.boolean(),
      resent: fc.boolean(),
      fence: fc.option(
        fc.record({ queue: fc.constantFrom('q', 'scheduler.nightly'), epoch: fc.maxSafeNat() }),
        {
          nil: undefined,
        },
      ),
    });
    fc.assert(
      fc.property(envelope, ({ producer, sequence, data, known, ...rest }) => {
        const one = envelopeOf({
          ...rest,
          id: `${producer}-${sequence}`,
          payload: Payload.of(data, { maxBytes: 1_000 }),
          origin: known
            ? {
                producer,
                sequence,
                open: [
                  [5, 7],
                  [9, Infinity],
                ],
              }
            : undefined,
        });
        const { payload, ...others } = sent(one);
        const { payload: published, ...expected } = one;
        expect(payload.value()).toStrictEqual(published.value());
        expect({ ...others, headers: Object.entries(others.headers).sort() }).toEqual({
          ...expected,
          headers: Object.entries(expected.headers).sort(),
        });
        // What is passed on is the same again.
        expect(encodeEnvelope(sent(one))).toEqual(encodeEnvelope(one));
      }),
    );
  });

  test('is a CloudEvent in binary mode', () => {
    const {
      attributes,
      headers: sentHeaders,
      body,
    } = encodeEnvelope(
      envelopeOf({
        headers: checkHeaders({ team: 'a', traceparent: '00-1-2-01' }),
        payload: Payload.of({ at: new Date(0) }, { maxBytes: 1_000 }),
        resent: true,
        fence: { queue: 'scheduler.nightly', epoch: 12 },
      }),
    );
    expect(attributes).toEqual({
      specversion: '1.0',
      id: 'abc-17',
      source: 'signalbox:farm/build-1',
      type: 'builds.17.started',
      time: '2026-01-02T03:04:05.678Z',
      datacontenttype: 'application/json',
      traceparent: '00-1-2-01',
      signalboxversion: '1',
      signalboxtypes: '1{at:D}',
      signalboxopen: '5-7,9-',
      signalboxresent: 'true',
      signalboxfence: 'scheduler.nightly:12',
    });
    expect({ ...sentHeaders }).toEqual({ team: 'a' });
    expect(body).toBe('{"at":"1970-01-01T00:00:00.000Z"}');
    for (const name of Object.keys(attributes)) expect(name).toMatch(/^[a-z0-9]{1,20}$/);
  });

  test('leaves out what there is nothing to say of', () => {
    const { attributes } = encodeEnvelope(envelopeOf({ origin: undefined, source: '' }));
    expect(Object.keys(attributes).sort()).toEqual([
      'datacontenttype',
      'id',
      'signalboxversion',
      'specversion',
      'time',
      'type',
    ]);
  });

  test('has the topic that the broker routed by', () => {
    const { attributes, body } = encodeEnvelope(envelopeOf());
    expect(decodeEnvelope(received({ topic: 'other.topic', attributes, body })).topic).toBe('other.topic');
  });

  test('of a newer wire version is refused when its data is asked for', () => {
    const { attributes, body } = encodeEnvelope(envelopeOf({ resent: true }));
    const newer = decodeEnvelope(received({ attributes: { ...attributes, signalboxversion: '2' }, body }));
    expect(newer).toMatchObject({ id: 'abc-17', origin: undefined, resent: false, fence: undefined });
    expect(() => newer.payload.value()).toThrow(DecodeError);
    expect(() => newer.payload.value()).toThrow(
      'Message abc-17 has wire version 2, this signalbox reads up to 1',
    );
    expect(() => encodeEnvelope(newer)).toThrow(DecodeError);
  });
});

describe('a foreign message', () => {
  test('without attributes is accepted and never taken for a duplicate', () => {
    const envelope = decodeEnvelope(received());
    expect(envelope).toMatchObject({
      id: 'fallback',
      topic: 'a.b',
      time: 42,
      source: '',
      origin: undefined,
      resent: false,
      fence: undefined,
    });
    expect(envelope.payload.value()).toEqual({ a: 1 });
    expect(Object.keys(envelope.headers)).toEqual([]);
  });

  test('with CloudEvents attributes keeps them', () => {
    const attributes = {
      specversion: '1.0',
      id: 'x-1',
      source: '/sensors/1',
      type: 't',
      time: '2026-01-01T00:00:00.123456789+02:00',
    };
    expect(decodeEnvelope(received({ attributes }))).toMatchObject({
      id: 'x-1',
      source: '/sensors/1',
      time: Date.UTC(2025, 11, 31, 22, 0, 0, 123),
      origin: undefined,
    });
  });

  test('without a version has no attributes of signalbox, whatever they look like', () => {
    const own = envelopeOf({
      resent: true,
      fence: { queue: 'q', epoch: 1 },
      payload: Payload.of([1n], { maxBytes: 100 }),
    });
    const attributes: Record<string, string> = { ...encodeEnvelope(own).attributes };
    delete attributes['signalboxversion'];
    for (const version of ['', '0', '-1', '1.0', '01', 'one', '99999999999']) {
      const envelope = decodeEnvelope(
        received({ attributes: { ...attributes, signalboxversion: version }, body: '["1"]' }),
      );
      expect(envelope).toMatchObject({ origin: undefined, resent: false, fence: undefined });
      expect(envelope.payload.value()).toEqual(['1']);
    }
    expect(decodeEnvelope(received({ attributes })).origin).toBeUndefined();
  });

  test('never makes decoding throw', () => {
    const noText = fc.anything({ maxDepth: 1, maxKeys: 2 });
    const anything = fc.oneof(fc.string({ unit: 'binary' }), noText) as fc.Arbitrary<string>;
    const name = fc.constantFrom(
      ...[
        'id',
        'source',
        'type',
        'time',
        'specversion',
        'signalboxversion',
        'signalboxopen',
        'signalboxtypes',
      ],
      ...['signalboxfence', 'signalboxresent', 'traceparent', '__proto__', 'toString'],
    );
    const value = fc.oneof(
      anything,
      fc.constantFrom('1', '2', '5-', 'a-5', 'q:1', 'true', '2026-01-01T00:00:00Z'),
    );
    fc.assert(
      fc.property(
        fc.dictionary(name, value),
        fc.dictionary(fc.oneof(fc.string(), name), anything),
        fc.uint8Array(),
        (attributes, foreignHeaders, body) => {
          const envelope = decodeEnvelope(received({ attributes, headers: foreignHeaders, body }));
          expect(typeof envelope.id).toBe('string');
          expect(envelope.time).not.toBeNaN();
          expect(() => checkHeaders(envelope.headers)).not.toThrow();
          try {
            encodeEnvelope({ ...envelope, payload: Payload.of(envelope.payload.value(), { maxBytes: 1e6 }) });
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each([
    ['open numbers', { signalboxopen: '7-5' }, { origin: undefined }],
    ['a number that is not open', { signalboxopen: '18-' }, { origin: undefined }],
    ['an id without a number', { id: 'abc' }, { origin: undefined }],
    ['a fence without an epoch', { signalboxfence: 'q' }, { fence: undefined }],
    [
      'a fence with an epoch that is not exact',
      { signalboxfence: 'q:9007199254740993' },
      { fence: undefined },
    ],
    ['a fence with no queue name', { signalboxfence: 'a b:1' }, { fence: undefined }],
    ['a flag', { signalboxresent: 'yes' }, { resent: false }],
    ['a time', { time: 'yesterday' }, { time: 42 }],
    ['a day that never was', { time: '2026-13-01T00:00:00Z' }, { time: 42 }],
    ['an id', { id: '' }, { id: 'fallback' }],
    ['a line break in its id', { id: 'a\r\nNats-Rollup: all-17' }, { id: 'fallback', origin: undefined }],
    ['a line break in its source', { source: 'a\nb' }, { source: '' }],
  ])('with %s that makes no sense is read without it', (_, forged, expected) => {
    const { attributes, body } = encodeEnvelope(envelopeOf());
    const envelope = decodeEnvelope(received({ attributes: { ...attributes, ...forged }, body }));
    expect(envelope).toMatchObject(expected);
    expect(envelope.payload.value()).toEqual({ builder: 'linux' });
  });

  test('with a forged types header is unreadable, not a crash', () => {
    const { attributes, body } = encodeEnvelope(envelopeOf());
    const forged = decodeEnvelope(
      received({ attributes: { ...attributes, signalboxtypes: '1{builder:D}' }, body }),
    );
    expect(() => forged.payload.value()).toThrow(DecodeError);
  });

  test('keeps the headers that a publish could have, at most 32 kB of them', () => {
    const envelope = decodeEnvelope(
      received({
        attributes: { traceparent: 'of the event' },
        headers: {
          ok: 'yes',
          'a b': 'x',
          'ce-id': 'x',
          line: 'a\r\nb',
          traceparent: 'of the broker',
          number: 5 as unknown as string,
        },
      }),
    );
    expect({ ...envelope.headers }).toEqual({ ok: 'yes', traceparent: 'of the event' });
    const many = Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [`h${index}`, 'x'.repeat(5_000)]),
    );
    expect(Object.keys(decodeEnvelope(received({ headers: many })).headers)).toHaveLength(6);
  });
});

describe('the origin', () => {
  test('is what stands before and behind the last dash', () => {
    expect(originOf('a-b-17', endless)).toEqual({ producer: 'a-b', sequence: 17, open: endless });
    expect(originOf(`p-${Number.MAX_SAFE_INTEGER}`, endless)?.sequence).toBe(Number.MAX_SAFE_INTEGER);
  });

  test.each([
    '',
    '-',
    'abc',
    'abc-',
    '-17',
    '17',
    'abc-0',
    'abc-017',
    'abc-+1',
    'abc-1.5',
    'abc-1e3',
    'abc- 1',
    'abc-٥',
    'abc-9007199254740992',
    `${'x'.repeat(300)}-1`,
  ])('of %j is unknown', (id) => {
    expect(originOf(id, endless)).toBeUndefined();
  });

  test('is unknown without open numbers, or outside of them', () => {
    expect(originOf('abc-17', undefined)).toBeUndefined();
    expect(
      originOf('abc-17', [
        [1, 16],
        [18, Infinity],
      ]),
    ).toBeUndefined();
  });
});

describe('headers of a publish', () => {
  test('are copied and frozen', () => {
    fc.assert(
      fc.property(headers, (given) => {
        const checked = checkHeaders(given);
        expect(Object.entries(checked)).toEqual(Object.entries(given));
        expect(Object.isFrozen(checked)).toBe(true);
        expect(Object.getPrototypeOf(checked)).toBeNull();
        expect(checked).not.toBe(given);
      }),
    );
    expect(Object.keys(checkHeaders(undefined))).toEqual([]);
  });

  test('may be called __proto__ and pollute nothing', () => {
    const checked = checkHeaders(JSON.parse('{"__proto__":"x"}') as Record<string, string>);
    expect(Object.keys(checked)).toEqual(['__proto__']);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  test.each<[what: string, headers: unknown, message: string]>([
    ['text', 'a=b', 'Headers are a plain object of strings'],
    ['null', null, 'Headers are a plain object of strings'],
    ['a map', new Map([['a', 'b']]), 'Headers are a plain object of strings'],
    ['a list', [['a', 'b']], 'Headers are a plain object of strings'],
    ['an empty name', { '': 'x' }, 'Header "" has a name that is not 1 to 256 visible ASCII characters'],
    ['a long name', { ['n'.repeat(257)]: 'x' }, 'has a name that is not 1 to 256'],
    ['a name with a space', { 'a b': 'x' }, 'Header "a b" has a name'],
    ['a name with a colon', { 'a:b': 'x' }, 'Header "a:b" has a name'],
    ['a name with a line break', { 'a\n': 'x' }, 'Header "a\\n" has a name'],
    ['a name that is not ASCII', { ä: 'x' }, 'Header "ä" has a name'],
    [
      'a name of CloudEvents on NATS',
      { 'CE-id': 'x' },
      'Header "CE-id" has a name that belongs to CloudEvents',
    ],
    ['a name of CloudEvents on AMQP', { cloudEvents_id: 'x' }, 'has a name that belongs to CloudEvents'],
    ['a number', { a: 5 }, 'Header "a" is of type number; header values are strings'],
    ['undefined', { a: undefined }, 'Header "a" is of type undefined; header values are strings'],
    ['a line break', { a: 'x\r\nNats-Rollup: all' }, 'Header "a" has a value with a control character'],
    ['a delete character', { a: '\u007f' }, 'Header "a" has a value with a control character'],
    [
      'half a character',
      { a: '\ud800' },
      'Header "a" has a value with a control character or a lone surrogate',
    ],
    ['more than 32 kB', { a: 'ü'.repeat(16_384) }, 'The headers take 32769 bytes, more than 32768'],
  ])('are refused with %s', (_, given, message) => {
    expect(() => checkHeaders(given as Record<string, string>)).toThrow(PayloadError);
    expect(() => checkHeaders(given as Record<string, string>)).toThrow(message);
  });
});
