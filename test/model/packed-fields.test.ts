import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/model/errors.js';
import type { Envelope } from '../../src/model/message.js';
import {
  packedBytesMax,
  packFields,
  packInto,
  topicOfPacked,
  unpackEnvelope,
} from '../../src/model/packed-fields.js';
import { Payload } from '../../src/model/payload.js';

const name = fc.stringMatching(/^[!-9;-~]{1,9}$/).filter((text) => !/^(?:ce-|cloudevents)/i.test(text));
const topic = fc.array(fc.constantFrom('a', 'bc', 'öl', '日本'), { minLength: 1, maxLength: 3 });

const envelopes: fc.Arbitrary<Envelope> = fc
  .record({
    topic: topic.map((words) => words.join('.')),
    sequence: fc.integer({ min: 1, max: 1e9 }),
    time: fc.integer({ min: 0, max: 2 ** 45 }),
    source: fc.constantFrom('signalbox:x/y', 'signalbox:x/ö', ''),
    headers: fc.dictionary(
      name,
      fc.string().filter((text) => !/[\p{Cc}\p{Cs}]/u.test(text)),
    ),
    data: fc.oneof(fc.anything({ withDate: true, withBigInt: true }), fc.string({ maxLength: 5_000 })),
    open: fc.constantFrom(undefined, [[1, Infinity]] as const, [[1, 7] as const, [9, Infinity] as const]),
    resent: fc.boolean(),
  })
  .map(({ sequence, data, open, ...rest }) => ({
    ...rest,
    id: `p-${sequence}`,
    payload: Payload.of(isData(data) ? data : null, { maxBytes: 1e6 }),
    origin: open && { producer: 'p', sequence, open },
    fence: undefined,
  }));

function isData(value: unknown): boolean {
  try {
    Payload.of(value, { maxBytes: 1e6 }).encode();
    return true;
  } catch {
    return false;
  }
}

const fieldsOf = ({ payload, headers, origin, ...rest }: Envelope) => ({
  ...rest,
  headers: { ...headers },
  body: payload.encode(),
  // What is closed may not come again.
  origin: origin?.open.some(([from, to]) => origin.sequence >= from && origin.sequence <= to)
    ? origin
    : undefined,
});

describe('a packed message', () => {
  test('is what it was, wherever it lies, and takes no more room than was said', () => {
    fc.assert(
      fc.property(fc.array(envelopes, { maxLength: 5 }), fc.nat(50), (messages, start) => {
        const room = messages.map(packedBytesMax).reduce((one, other) => one + other, start);
        const buffer = Buffer.alloc(room);
        let at = start;
        const bounds = messages.map((message) => [at, (at = packInto(buffer, at, message))] as const);
        messages.forEach((message, index) => {
          const [from, to] = bounds[index]!;
          const packed = packFields(message);
          expect(packed.equals(buffer.subarray(from, to))).toBe(true);
          expect(fieldsOf(unpackEnvelope(buffer, from, to))).toEqual(fieldsOf(message));
          expect(topicOfPacked(packed)).toBe(message.topic);
        });
      }),
    );
  });

  test('that is nonsense is a payload that cannot be read, and no crash', () => {
    const nonsense = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.tuple(envelopes, fc.nat(), fc.nat(255)).map(([message, at, byte]) => {
        const bytes = packFields(message);
        bytes[at % Math.min(bytes.length, 60)] = byte;
        return bytes.subarray(0, at % 3 === 0 ? at % bytes.length : bytes.length);
      }),
    );
    fc.assert(
      fc.property(nonsense, (bytes) => {
        const { payload, id, headers, source } = unpackEnvelope(bytes);
        expect([typeof id, typeof headers, typeof source, typeof topicOfPacked(bytes)]).toEqual([
          'string',
          'object',
          'string',
          'string',
        ]);
        try {
          payload.value();
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
    );
    expect(() => unpackEnvelope(Buffer.alloc(0)).payload.value()).toThrow('cannot be read');
  });

  test('of a newer form says so, and its topic', () => {
    const packed = packFields(unpackEnvelope(Buffer.from([1, 0, 1, 97, ...Buffer.alloc(29), 49])));
    packed[0] = 2;
    expect(topicOfPacked(packed)).toBe('a');
    expect(() => unpackEnvelope(packed).payload.value()).toThrow('packed form 2');
    expect(unpackEnvelope(packed).topic).toBe('a');
  });

  test('keeps a source and a topic apart from those before that look alike', () => {
    const of = (source: string) => packFields({ ...unpackEnvelope(packFields(plain)), source });
    const plain: Envelope = {
      ...{ topic: 'a', id: '1', time: 0, source: '', headers: {}, origin: undefined, resent: false },
      ...{ payload: Payload.of(1, { maxBytes: 9 }), fence: undefined },
    };
    const sources = ['é', 'é', 'è', 'xx', 'xx', 'xy', '', 'é'];
    expect(sources.map((source) => unpackEnvelope(of(source)).source)).toEqual(sources);
    // A byte that is no UTF-8, though it is the code of the character before.
    const broken = Buffer.from(of('x').toString('latin1').replace('x', 'é'), 'latin1');
    unpackEnvelope(of('é'));
    expect(unpackEnvelope(broken).source).toBe('\ufffd');
  });
});
