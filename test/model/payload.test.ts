import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DecodeError, PayloadError, PayloadTooLargeError } from '../../src/model/errors.js';
import { Payload } from '../../src/model/payload.js';

const limits = { maxBytes: 1_000_000 };

const key = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'at', 'k', 'v') },
  fc.constantFrom('__proto__', 'constructor', 'toString', 'length', '', '0', 'a b', 'ü{:,}', '%0041'),
  fc.string({ unit: 'binary', maxLength: 4 }),
);
const plainLeaf = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom('\ud800', '\u2028', '1970-01-01T00:00:00.000Z', 'AAAA', '17'),
);
const richLeaf = fc.oneof(
  fc.constantFrom<unknown>(undefined, NaN, Infinity, -Infinity, -0),
  fc.bigInt(),
  fc.date({ noInvalidDate: false }),
  fc.uint8Array({ maxLength: 5 }),
);
const plainData = fc.letrec<{ data: unknown }>((tie) => ({
  data: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    plainLeaf,
    fc.array(tie('data'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('data')), { maxLength: 4 }).map(record),
  ),
})).data;
const richData = fc.letrec<{ data: unknown }>((tie) => ({
  data: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    plainLeaf,
    richLeaf,
    fc.array(tie('data'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('data')), { maxLength: 4 }).map(record),
    fc.array(fc.tuple(tie('data'), tie('data')), { maxLength: 3 }).map((pairs) => new Map(pairs)),
    fc.array(tie('data'), { maxLength: 3 }).map((items) => new Set(items)),
  ),
})).data;

/** An object with these own properties, `__proto__` as well. */
function record(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const [name, value] of entries) {
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  }
  return object;
}

/** Equal for equal data only, whatever its types. */
function picture(data: unknown): unknown {
  if (typeof data === 'bigint') return `bigint ${data}`;
  if (typeof data === 'number') return `number ${Object.is(data, -0) ? '-0' : data}`;
  if (typeof data === 'string') return JSON.stringify(data);
  if (typeof data !== 'object' || data === null) return String(data);
  if (Array.isArray(data)) return ['array', ...data.map(picture)];
  if (data instanceof Date) return `date ${data.getTime()}`;
  if (data instanceof Uint8Array) return `bytes ${data.join()}`;
  if (data instanceof Set) return ['set', ...Array.from(data, picture)];
  if (data instanceof Map)
    return ['map', ...Array.from(data, ([name, value]) => [picture(name), picture(value)])];
  return ['object', ...Object.entries(data).map(([name, value]) => [JSON.stringify(name), picture(value)])];
}

function insideOf(data: unknown): unknown[] {
  if (data instanceof Map) return [...data.keys(), ...data.values()];
  if (data instanceof Set) return [...data];
  if (typeof data !== 'object' || data === null || data instanceof Date || data instanceof Uint8Array)
    return [];
  return Object.values(data);
}

function objectsIn(data: unknown): object[] {
  return typeof data === 'object' && data !== null ? [data, ...insideOf(data).flatMap(objectsIn)] : [];
}

function isMutable(object: object): boolean {
  return [Date, Uint8Array, Map, Set].some((type) => object instanceof type);
}

/** Changes whatever can be changed. */
function wreck(data: unknown): void {
  for (const object of objectsIn(data)) {
    if (object instanceof Date) object.setTime(object.getTime() === 1 ? 2 : 1);
    if (object instanceof Uint8Array) object.fill(object[0] === 1 ? 2 : 1);
    if (object instanceof Map || object instanceof Set) object.clear();
    if (isMutable(object) || Object.isFrozen(object)) continue;
    for (const name of Object.keys(object)) Reflect.set(object, name, 'wrecked');
    Reflect.set(object, 'wreck', 'wrecked');
  }
}

function sent(data: unknown, encoding: 'text' | 'bytes' = 'bytes'): Payload {
  const { body, types } = Payload.of(data, limits).encode();
  return Payload.decode(encoding === 'text' ? body : Buffer.from(body), types);
}

function typesOf(data: unknown): string | undefined {
  return Payload.of(data, limits).encode().types;
}

function refusalOf(data: unknown): Error {
  try {
    Payload.of(data, limits);
  } catch (error) {
    return error as Error;
  }
  throw new Error('It was accepted.');
}

/** An array of arrays, so deep. */
function nested(levels: number, inside: unknown = 1): unknown {
  return levels === 0 ? inside : [nested(levels - 1, inside)];
}

describe('a published payload', () => {
  test('has the value of the data', () => {
    fc.assert(
      fc.property(richData, (data) => {
        expect(picture(Payload.of(data, limits).value())).toEqual(picture(data));
      }),
    );
  });

  test('is not changed by what the publisher does afterwards', () => {
    fc.assert(
      fc.property(richData, (data) => {
        const before = picture(data);
        const payload = Payload.of(data, limits);
        wreck(data);
        expect(picture(payload.value())).toEqual(before);
        expect(picture(Payload.decode(payload.encode().body, payload.encode().types).value())).toEqual(
          before,
        );
      }),
    );
  });

  test('is not changed by what a handler does', () => {
    fc.assert(
      fc.property(richData, fc.boolean(), (data, remote) => {
        const payload = remote ? sent(data) : Payload.of(data, limits);
        wreck(payload.value());
        expect(picture(payload.value())).toEqual(picture(data));
        expect(picture(sent(data).value())).toEqual(picture(data));
      }),
    );
  });

  test('gives each handler its own mutable objects, all else frozen', () => {
    fc.assert(
      fc.property(richData, fc.boolean(), (data, remote) => {
        const payload = remote ? sent(data) : Payload.of(data, limits);
        const first = objectsIn(payload.value());
        const second = new Set(objectsIn(payload.value()));
        for (const object of first) {
          expect(isMutable(object) ? !second.has(object) : Object.isFrozen(object)).toBe(true);
        }
      }),
    );
  });

  test('of plain data is one frozen object, shared by all handlers', () => {
    fc.assert(
      fc.property(plainData, fc.boolean(), (data, remote) => {
        const payload = remote ? sent(data) : Payload.of(data, limits);
        expect(payload.value()).toBe(payload.value());
      }),
    );
    const counted = Payload.of({ count: 1n, nothing: undefined }, limits);
    expect(counted.value()).toBe(counted.value());
  });

  test('tells whether all handlers share its value', () => {
    fc.assert(
      fc.property(richData, fc.boolean(), (data, remote) => {
        const payload = remote ? sent(data) : Payload.of(data, limits);
        expect(payload.isShareable).toBe(!objectsIn(data).some(isMutable));
      }),
    );
  });

  test('shares the plain parts beside a date', () => {
    const payload = Payload.of({ at: new Date(0), build: { number: 1 } }, limits);
    const [first, second] = [payload.value(), payload.value()] as { at: Date; build: object }[];
    expect(first!.build).toBe(second!.build);
    expect(first!.at).not.toBe(second!.at);
  });

  test('is too large exactly when its JSON has more bytes than allowed', () => {
    fc.assert(
      fc.property(richData, (data) => {
        const payload = Payload.of(data, limits);
        const size = Buffer.byteLength(payload.encode().body);
        expect(payload.bytes).toBe(size);
        expect(picture(Payload.of(data, { maxBytes: size }).value())).toEqual(picture(data));
        expect(() => Payload.of(data, { maxBytes: size - 1 })).toThrow(PayloadTooLargeError);
      }),
    );
  });

  test('names size and limit when it is too large', () => {
    expect(() => Payload.of('x'.repeat(100), { maxBytes: 100 })).toThrow(
      'The data takes 102 bytes as JSON, maxMessageBytes allows 100',
    );
    expect(() => Payload.of(new Uint8Array(300), { maxBytes: 100 })).toThrow('at least 400 bytes');
    expect(() => Payload.of(new Array(4_000_000_000), limits)).toThrow('at least 8000000000 bytes');
  });

  test('copies shared references twice, and gives up on those that would grow without end', () => {
    const shared = { number: 1 };
    expect(Payload.of([shared, shared], limits).value()).toEqual([{ number: 1 }, { number: 1 }]);
    let bomb: unknown = 'x';
    for (let level = 0; level < 60; level += 1) bomb = [bomb, bomb];
    expect(() => Payload.of(bomb, limits)).toThrow('more than 1000000 bytes');
  });

  test('takes an object of a class as its toJSON() says', () => {
    class Build {
      constructor(readonly number: number) {}
      toJSON(name: string): unknown {
        return { number: this.number, name, at: new Date(0) };
      }
    }
    expect(Payload.of({ build: new Build(7) }, limits).value()).toEqual({
      build: { number: 7, name: 'build', at: new Date(0) },
    });
    expect(Payload.of({ toJSON: () => 5 }, limits).value()).toBe(5);
    expect(Payload.of(new URL('http://localhost/a'), limits).value()).toBe('http://localhost/a');
  });

  test('takes a Buffer as bytes, an object without prototype as an object, a hole as undefined', () => {
    const bytes = Payload.of(Buffer.from('ab'), limits).value();
    expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype);
    expect(bytes).toEqual(new Uint8Array([97, 98]));
    expect(Payload.of(Object.assign(Object.create(null), { a: 1 }), limits).value()).toStrictEqual({ a: 1 });
    expect(Payload.of(Object.assign(new Array(3), { 0: 1, 2: 3 }), limits).value()).toStrictEqual([
      1,
      undefined,
      3,
    ]);
  });

  test('takes data of another realm', () => {
    const source =
      '({ a: [1], at: new Date(5), map: new Map([[1, 2]]), set: new Set([1]), bytes: new Uint8Array([7]) })';
    const data = {
      a: [1],
      at: new Date(5),
      map: new Map([[1, 2]]),
      set: new Set([1]),
      bytes: new Uint8Array([7]),
    };
    expect(Payload.of(runInNewContext(source), limits).value()).toStrictEqual(data);
  });

  test('keeps an own key __proto__ and pollutes nothing', () => {
    const data: unknown = JSON.parse(
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
    );
    for (const payload of [Payload.of(data, limits), sent(data)]) {
      const value = payload.value() as object;
      expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test('is nested 200 levels at most', () => {
    expect(sent(nested(200)).value()).toEqual(nested(200));
    expect(refusalOf(nested(201)).message).toMatch(
      /^data\[0\]\[0\].*… ?.*is nested deeper than 200 levels\.$/,
    );
    // A map is an array of arrays.
    let maps: unknown = 1;
    for (let level = 0; level < 100; level += 1) maps = new Map([[1, maps]]);
    expect(picture(sent(maps).value())).toEqual(picture(maps));
    expect(refusalOf(nested(1, maps)).message).toContain('is nested deeper than 200 levels');
  });
});

describe('data that no message can hold is refused by its place', () => {
  const loop: Record<string, unknown> = { list: [] };
  (loop['list'] as unknown[]).push({ back: loop['list'] });
  class Owner {
    name = 'somebody';
  }
  const cases: [what: string, data: unknown, message: string][] = [
    ['a function', { build: { done() {} } }, 'data.build.done is a function'],
    ['a symbol', [{ a: Symbol('x') }], 'data[0].a is a symbol'],
    ['a function in a map', { m: new Map([['k', () => 1]]) }, 'data.m[0][1] is a function'],
    [
      'an object of a class',
      { build: { owner: new Owner() } },
      'data.build.owner is of class Owner without toJSON()',
    ],
    ['an error', new Error('x'), 'data is of class Error without toJSON()'],
    ['a regular expression', { 'a b': /x/ }, 'data["a b"] is of class RegExp without toJSON()'],
    ['a boxed number', [Object(1)], 'data[0] is of class Number without toJSON()'],
    ['another typed array', new Float64Array(1), 'data is of class Float64Array without toJSON()'],
    ['an object that inherits', Object.create({ a: 1 }), 'data is of class Object without toJSON()'],
    ['what toJSON() returned', { a: { toJSON: () => [() => 1] } }, 'data.a.toJSON()[0] is a function'],
    ['a bigint of 10,001 digits', [10n ** 10_000n], 'data[0] has too many digits'],
    ['a negative bigint of 10,001 digits', [-(10n ** 10_000n)], 'data[0] has too many digits'],
    ['a cycle', { a: 1, loop }, 'data.loop.list[0].back contains itself'],
  ];
  test.each(cases)('%s', (_, data, message) => {
    const error = refusalOf(data);
    expect(error).toBeInstanceOf(PayloadError);
    expect(error.message).toContain(message);
  });

  test('a toJSON() that returns its own object', () => {
    const self = { toJSON: () => self };
    expect(refusalOf({ a: self }).message).toContain('contains itself');
  });

  test('a getter that throws, with its error as the cause', () => {
    const cause = new Error('not now');
    const data = {
      build: {
        get owner(): unknown {
          throw cause;
        },
      },
    };
    expect(refusalOf(data)).toMatchObject({ code: 'ERR_PAYLOAD', cause });
    expect(refusalOf(data).message).toContain('data.build.owner threw when it was read');
  });

  test('a toJSON() that throws, with its error as the cause', () => {
    const cause = new Error('not now');
    const data = {
      a: {
        toJSON() {
          throw cause;
        },
      },
    };
    expect(refusalOf(data)).toMatchObject({ code: 'ERR_PAYLOAD', cause });
    expect(refusalOf(data).message).toContain('data.a.toJSON() threw');
  });

  test('a proxy that throws, with its error as the cause', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusalOf({ a: proxy })).toMatchObject({
      code: 'ERR_PAYLOAD',
      cause: expect.any(TypeError) as unknown,
    });
  });

  test('an impostor of a date', () => {
    expect(refusalOf({ at: Object.create(Date.prototype) as unknown })).toBeInstanceOf(PayloadError);
  });
});

describe('on the wire', () => {
  test('rich data comes back as it was, from text and from bytes', () => {
    fc.assert(
      fc.property(richData, fc.constantFrom('text' as const, 'bytes' as const), (data, encoding) => {
        expect(picture(sent(data, encoding).value())).toEqual(picture(data));
      }),
      { numRuns: 300 },
    );
  });

  test('lists of records of one form come back as they were', () => {
    const field = (rich: fc.Arbitrary<unknown>) => fc.option(rich, { nil: undefined });
    const item = fc.record(
      {
        at: field(fc.date()),
        end: fc.option(fc.date()),
        tags: fc.array(fc.oneof(fc.bigInt(), fc.constant(null))),
        n: fc.constantFrom(1, -0, 0, NaN, 's'),
      },
      { requiredKeys: [] },
    );
    const lists = fc.array(fc.oneof({ weight: 8, arbitrary: item }, fc.constantFrom(null, 'x', undefined)));
    fc.assert(
      fc.property(lists, (data) => {
        expect(picture(sent(data).value())).toEqual(picture(data));
        expect(picture(sent(new Map(data.map((one) => [one, one]))).value())).toEqual(
          picture(new Map(data.map((one) => [one, one]))),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('plain data is its JSON, without a header', () => {
    fc.assert(
      fc.property(plainData, (data) => {
        expect(Payload.of(data, limits).encode()).toEqual({ body: JSON.stringify(data), types: undefined });
      }),
    );
  });

  test('the header is visible ASCII', () => {
    fc.assert(
      fc.property(richData, (data) => {
        expect(typesOf(data) ?? '').toMatch(/^[!-~]*$/);
      }),
    );
  });

  test('other languages read plain JSON', () => {
    const data = {
      at: new Date(0),
      never: new Date(NaN),
      count: 12n,
      bytes: new Uint8Array([1, 2, 255]),
      map: new Map<unknown, unknown>([['a', 1n]]),
      set: new Set([1, 2]),
      nothing: undefined,
      numbers: [NaN, Infinity, -Infinity, -0],
    };
    const { body, types } = Payload.of(data, limits).encode();
    expect(JSON.parse(body)).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      never: null,
      count: '12',
      bytes: 'AQL/',
      map: [['a', '1']],
      set: [1, 2],
      nothing: null,
      numbers: [null, null, null, 0],
    });
    expect(types).toBe(
      '1{at:D,never:i,count:N,bytes:B,map:M{v:[*N]},set:S,nothing:u,numbers:[0:n,1:p,2:m,3:Z]}',
    );
  });

  test('undefined alone has a body, and an empty body is undefined', () => {
    expect(Payload.of(undefined, limits).encode()).toEqual({ body: 'null', types: '1u' });
    expect(sent(undefined).value()).toBeUndefined();
    expect(Payload.decode(new Uint8Array(), undefined).value()).toBeUndefined();
    expect(Payload.decode('', '1{a:D}').value()).toBeUndefined();
  });

  test('items of one form share one type', () => {
    const dates = Array.from({ length: 10_000 }, (_, index) => new Date(index));
    expect(typesOf(dates)).toBe('1[*D]');
    expect(typesOf(new Set(dates))).toBe('1S[*D]');
    expect(typesOf(new Map(dates.map((date) => [date, date])))).toBe('1M{k:[*D],v:[*D]}');
    expect(typesOf([[new Date(0)], [], [null]])).toBe('1[*[*D?]]');
  });

  test('items of one form may lack what others have', () => {
    const builds = Array.from({ length: 1_000 }, (_, number) => ({
      number,
      start: new Date(number),
      ...(number % 3 === 0 ? {} : { end: number % 2 === 0 ? new Date(number) : null }),
      owner: number % 5 === 0 ? undefined : 'somebody',
      load: number % 7 === 0 ? NaN : 0.5,
    }));
    expect(typesOf(builds)).toBe('1[*{start:D,owner:u,load:n,end:D?}]');
    expect(picture(sent(builds).value())).toEqual(picture(builds));
  });

  test('items of several forms are told one by one', () => {
    expect(typesOf([new Date(0), '1970-01-01T00:00:00.000Z', 1n])).toBe('1[0:D,2:N]');
    expect(typesOf([null, undefined])).toBe('1[1:u]');
    expect(typesOf([0, -0])).toBe('1[1:Z]');
  });

  test('a header of more than 16 kB is refused by name', () => {
    const mixed = Array.from({ length: 10_000 }, (_, index) => (index % 2 === 0 ? new Date(0) : '2'));
    expect(refusalOf(mixed)).toBeInstanceOf(PayloadError);
    expect(refusalOf(mixed).message).toMatch(
      /^The header that revives rich types would take \d+ bytes, more than 16384/,
    );
  });

  test('keys of many records of different forms do not take quadratic time', () => {
    const records = Array.from({ length: 20_000 }, (_, index) => ({ [`k${index}`]: 1n }));
    expect(refusalOf(records).message).toContain('The header that revives rich types');
  });

  test('a received payload is passed on as it came, read or not', () => {
    const body = '{ "a" : "1" }';
    const payload = Payload.decode(Buffer.from(body), '1{a:N}');
    expect(payload.encode()).toEqual({ body, types: '1{a:N}' });
    expect(payload.value()).toEqual({ a: 1n });
    expect(payload.encode()).toEqual({ body, types: '1{a:N}' });
    expect(payload.bytes).toBe(13);
    expect(Payload.decode(Buffer.from('no JSON'), undefined).encode().body).toBe('no JSON');
  });

  test('the size is unknown before somebody needed it', () => {
    expect(Payload.of({ a: 1 }, limits).bytes).toBeUndefined();
  });

  test('a byte order mark is no part of the data', () => {
    expect(Payload.decode(Buffer.from('\uFEFF{"a":1}'), undefined).value()).toEqual({ a: 1 });
  });
});

describe('a hostile body', () => {
  const json = fc.oneof(
    fc.json({ maxDepth: 5 }),
    richData.map((data) => Payload.of(data, limits).encode().body),
  );
  const piece = fc.constantFrom(
    ...[
      '{',
      '}',
      '[',
      ']',
      '*',
      ':',
      ',',
      'D',
      'N',
      'B',
      'Z',
      'M',
      'S',
      '?',
      'u',
      'n',
      'i',
      'a',
      '0',
      'k',
      'v',
      '%',
    ],
    ...['__proto__', '[*', '{a:D}', 'M{k:[*D]}', '0:', 'length:', '%0000'],
  );
  const header = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => `1${pieces.join('')}`),
    richData.map((data) => typesOf(data) ?? '1D'),
    fc.string(),
  );

  test('is read or refused, whatever its header says, and pollutes nothing', () => {
    fc.assert(
      fc.property(json, header, (body, types) => {
        const payload = Payload.decode(body, types);
        try {
          payload.value();
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          expect(() => payload.value()).toThrow(DecodeError);
        }
        expect(Object.keys(Object.prototype)).toEqual([]);
        expect(({} as { a?: unknown }).a).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });

  test('is frozen like any other', () => {
    const value = Payload.decode('{"__proto__":{"a":[{}]}}', undefined).value();
    for (const object of objectsIn(value)) expect(Object.isFrozen(object)).toBe(true);
  });

  const deep = 1_000_000;
  const cases: [what: string, body: Uint8Array | string, types: string | undefined, message: string][] = [
    ['no JSON', '{a:1}', undefined, 'The body is not JSON.'],
    ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), undefined, 'The body is not UTF-8.'],
    ['201 levels', JSON.stringify(nested(201)), undefined, 'nested deeper than 200 levels'],
    ['a million levels', '['.repeat(deep) + ']'.repeat(deep), undefined, 'nested deeper than 200 levels'],
    ['a date that is none', '"yesterday"', '1D', 'where it says a date, the body has none'],
    ['a date that is a number', '5', '1D', 'where it says a date'],
    ['a date that is null', 'null', '1D', 'where it says a date'],
    ['a bigint that is none', '"1e9"', '1N', 'where it says a bigint'],
    ['a bigint of 10,001 digits', `"${'1'.repeat(10_001)}"`, '1N', 'where it says a bigint'],
    ['bytes that are none', '"a-b="', '1B', 'where it says bytes'],
    ['bytes of a wrong length', '"abc"', '1B', 'where it says bytes'],
    ['an object that is an array', '[1]', '1{a:D}', 'where it says an object'],
    ['an object that is null', 'null', '1{a:D}', 'where it says an object'],
    ['an array that is an object', '{"0":"1"}', '1[0:N]', 'where it says an array'],
    ['a set that is an object', '{}', '1S', 'where it says an array'],
    ['a map that is a string', '"ab"', '1M', 'where it says an array'],
    ['a map of strings', '["ab"]', '1M', 'where it says an array'],
    ['a map of triples', '[[1,2,3]]', '1M', 'where it says a map'],
    ['a key that is not there', '{"b":"1"}', '1{a:N}', 'where it says a field'],
    ['an inherited key', '{}', '1{toString:u,__proto__:N}', 'where it says a field'],
    ['an item that is not there', '["1"]', '1[7:N]', 'where it says an item'],
    ['an index that is none', '["1"]', '1[length:N]', 'where it says an item'],
    ['a newer header', '1', '2{a:D}', 'version 2, this signalbox reads up to 1'],
    ['an unknown tag', '1', '1Q', 'malformed'],
    ['no version', '1', 'D', 'malformed'],
    ['an empty header', '1', '', 'malformed'],
    ['an empty type', '1', '1', 'malformed'],
    ['a header with an end missing', '{"a":"1"}', '1{a:N', 'malformed'],
    ['a header with an end missing after every item', '[]', '1[*N', 'malformed'],
    ['a header with a key missing', '{"a":"1"}', '1{N}', 'malformed'],
    ['a header with a key twice', '{"a":"1"}', '1{a:N,a:D}', 'malformed'],
    ['a header with something behind', '"1"', '1NN', 'malformed'],
    ['a header of a million levels', '[]', `1${'[*'.repeat(deep)}`, 'malformed'],
    ['a header of 201 levels', '[]', `1${'[*'.repeat(201)}N${']'.repeat(201)}`, 'malformed'],
    ['a header with a line break', '{"a\\n":"1"}', '1{a\n:N}', 'malformed'],
  ];
  test.each(cases)('with %s is refused', (_, body, types, message) => {
    const payload = Payload.decode(body, types);
    for (const attempt of [1, 2]) {
      expect(() => payload.value(), `attempt ${attempt}`).toThrow(DecodeError);
      expect(() => payload.value(), `attempt ${attempt}`).toThrow(message);
    }
  });

  test('is not passed on when no broker could carry it', () => {
    expect(() => Payload.decode(new Uint8Array([0xff]), undefined).encode()).toThrow(DecodeError);
    expect(() => Payload.decode('1', 'D\r\nNats-Rollup: all').encode()).toThrow(DecodeError);
    expect(() => Payload.decode('1', 'D'.repeat(16_385)).encode()).toThrow(DecodeError);
  });

  test('does not take quadratic time for a header that lists fields that may be missing', () => {
    const fields = Array.from({ length: 2_000 }, (_, index) => `${index.toString(36)}:N?`).join();
    const value = Payload.decode(`[${'{},'.repeat(300_000)}{}]`, `1[*{${fields}}]`).value();
    expect(value).toHaveLength(300_001);
    const items = Array.from({ length: 1_500 }, (_, index) => `${index}:N?`).join();
    expect(Payload.decode(`[${'[],'.repeat(300_000)}[]]`, `1[*[${items}]]`).value()).toHaveLength(300_001);
  });

  test('known to be unreadable throws what is known', () => {
    const failure = new DecodeError('from the future');
    expect(() => Payload.undecodable(failure).value()).toThrow(failure);
    expect(() => Payload.undecodable(failure).encode()).toThrow(failure);
    expect(Payload.undecodable(failure).bytes).toBeUndefined();
  });
});
