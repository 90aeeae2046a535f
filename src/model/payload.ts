import { isUtf8 } from 'node:buffer';
import { types as is } from 'node:util';
import { DecodeError, PayloadError, PayloadTooLargeError, SignalboxError } from './errors.js';
import {
  BIGINT_LIMIT,
  DEPTH_MAX,
  TYPES_HEADER_MAX,
  isMutable,
  readTypes,
  renew,
  revive,
  setOwn,
  toPlain,
  typeOf,
  writeTypes,
  type RichType,
} from './rich-types.js';

/** What goes over the wire: plain JSON, and the header that revives rich types where there are any. */
export interface EncodedPayload {
  readonly body: string;
  readonly types: string | undefined;
}

/**
 * The data of a message, as a frozen value, as bytes, or both: converted when asked for, and at most once.
 *
 * It holds what JSON holds and beyond it Date, bigint, Uint8Array, Map, Set, undefined, NaN, Infinity, -Infinity, -0.
 */
export class Payload {
  #value: unknown;
  #type: RichType | undefined;
  #mutable = false;
  #encoded: EncodedPayload | undefined;
  #received: { readonly body: Uint8Array | string; readonly types: string | undefined } | undefined;
  #read = true;
  #failure: DecodeError | undefined;

  private constructor() {}

  /**
   * Copies and freezes: what the publisher does to its object afterwards changes nothing. Throws `PayloadError`, which
   * names the place, for what a message cannot hold, and `PayloadTooLargeError`. An object with a prototype of its own
   * is taken as its `toJSON()` says; keys that are symbols are left out, as JSON does.
   */
  static of(data: unknown, limits: { readonly maxBytes: number }): Payload {
    const copier = new Copier(data, limits.maxBytes);
    const payload = new Payload();
    payload.#value = copier.copy();
    if (copier.rich) {
      payload.#type = typeOf(payload.#value);
      payload.#mutable = isMutable(payload.#type);
      // The header is shorter than four times what the copier counted for the same places.
      if (copier.bytes * 4 > TYPES_HEADER_MAX) writeHeader(payload.#type);
    }
    if (copier.bytes > limits.maxBytes) {
      payload.encode();
      if (payload.bytes! > limits.maxBytes) throw tooLarge(String(payload.bytes), limits.maxBytes);
    }
    return payload;
  }

  /**
   * What was received. Nothing is read, and nothing thrown, before it is asked for. The bytes are kept, not copied. An
   * empty body is undefined.
   */
  static decode(body: Uint8Array | string, types: string | undefined): Payload {
    const payload = new Payload();
    payload.#received = { body, types };
    payload.#read = false;
    return payload;
  }

  /** What was received and nobody here may read or pass on: `value()` and `encode()` throw this error. */
  static undecodable(failure: DecodeError): Payload {
    const payload = new Payload();
    payload.#failure = failure;
    return payload;
  }

  /**
   * The value for one handler. What is plain is frozen and shared; Date, Map, Set and bytes are made anew by each call,
   * and so are the containers around them. Throws `DecodeError` for what cannot be read.
   */
  value(): unknown {
    if (!this.#read) this.#readReceived();
    if (this.#failure !== undefined) throw this.#failure;
    return this.#mutable && this.#type !== undefined ? renew(this.#value, this.#type) : this.#value;
  }

  /** Whether `value()` gives every handler the same frozen value. */
  get isShareable(): boolean {
    if (!this.#read) this.#readReceived();
    return !this.#mutable;
  }

  /** What is sent; of a received payload what came, even if it cannot be read. Throws `DecodeError` if it is no text. */
  encode(): EncodedPayload {
    this.#encoded ??= this.#received === undefined ? this.#write() : recode(this.#received);
    return this.#encoded;
  }

  /** The size of the encoded body; undefined as long as nobody needed it. */
  get bytes(): number | undefined {
    const body = this.#received?.body ?? this.#encoded?.body;
    return typeof body === 'string' ? Buffer.byteLength(body) : body?.byteLength;
  }

  #write(): EncodedPayload {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#type === undefined) return { body: JSON.stringify(this.#value), types: undefined };
    return { body: JSON.stringify(toPlain(this.#value)), types: writeHeader(this.#type) };
  }

  #readReceived(): void {
    const { body, types } = this.#received!;
    this.#read = true;
    try {
      const text = textOf(body);
      if (text === '') return;
      const json = freeze(parse(text), 0);
      this.#type = types === undefined ? undefined : readTypes(types);
      this.#value = this.#type === undefined ? json : revive(json, this.#type);
      this.#mutable = isMutable(this.#type);
    } catch (error) {
      this.#failure =
        error instanceof DecodeError ? error : new DecodeError('The body cannot be read.', { cause: error });
    }
  }
}

function writeHeader(type: RichType | undefined): string | undefined {
  const header = type && writeTypes(type);
  if (header === undefined || header.length <= TYPES_HEADER_MAX) return header;
  throw new PayloadError(
    `The header that revives rich types would take ${header.length} bytes, more than ${TYPES_HEADER_MAX}: ` +
      'the data holds too many dates, bigints, undefined and the like in places of no common form. ' +
      'Write them as strings or numbers, or give the items of each list one form.',
  );
}

function recode(received: {
  readonly body: Uint8Array | string;
  readonly types: string | undefined;
}): EncodedPayload {
  const { body, types } = received;
  if (types !== undefined && (types.length > TYPES_HEADER_MAX || !/^[!-~]*$/.test(types))) {
    throw new DecodeError('The types header is malformed.');
  }
  return { body: textOf(body), types };
}

function textOf(body: Uint8Array | string): string {
  let text = body;
  if (typeof text !== 'string') {
    if (!isUtf8(text)) throw new DecodeError('The body is not UTF-8.');
    text = Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString();
  }
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DecodeError('The body is not JSON.', { cause });
  }
}

function freeze(json: unknown, depth: number): unknown {
  if (typeof json !== 'object' || json === null) return json;
  if (depth === DEPTH_MAX) throw new DecodeError(`The body is nested deeper than ${DEPTH_MAX} levels.`);
  for (const item of Array.isArray(json) ? json : Object.values(json)) freeze(item, depth + 1);
  return Object.freeze(json);
}

function tooLarge(bytes: string, maxBytes: number): PayloadTooLargeError {
  return new PayloadTooLargeError(
    `The data takes ${bytes} bytes as JSON, maxMessageBytes allows ${maxBytes}. Publish where it can be found instead.`,
  );
}

const NO_STEPS: never[] = [];

// The copier counts each value with at most this many times the bytes that it takes as JSON.
const OVERESTIMATE = 8;

/** Copies data by hand, which takes a fraction of the time of JSON or structuredClone. */
class Copier {
  /** At least the size of the copy as JSON. */
  bytes = 0;
  /** Whether something in it takes a types header. */
  rich = false;
  /** The containers around the value at hand, by depth, and the keys that lead to them; none while data is flat. */
  #containers: unknown[] = NO_STEPS;
  #keys: (string | number)[] = NO_STEPS;

  constructor(
    readonly data: unknown,
    readonly maxBytes: number,
  ) {}

  copy(): unknown {
    try {
      return this.#copy(this.data, 0, '');
    } catch (error) {
      if (error instanceof SignalboxError) throw error;
      throw new PayloadError('Something inside the data threw when it was read.', { cause: error });
    }
  }

  #copy(value: unknown, depth: number, key: string | number): unknown {
    switch (typeof value) {
      case 'string':
        this.bytes += 6 * value.length + 3;
        return value;
      case 'number':
        this.bytes += (value | 0) === value ? 12 : 25;
        if (value === 0 ? Object.is(value, -0) : !Number.isFinite(value)) this.rich = true;
        return value;
      case 'boolean':
        this.bytes += 6;
        return value;
      case 'undefined':
        this.bytes += 5;
        this.rich = true;
        return value;
      case 'bigint':
        this.rich = true;
        if (value <= -BIGINT_LIMIT || value >= BIGINT_LIMIT)
          throw this.#refusal(depth, key, 'has too many digits');
        this.bytes += String(value).length + 3;
        return value;
      case 'object':
        if (value !== null) return this.#copyObject(value, depth, key);
        this.bytes += 5;
        return value;
      default:
        throw this.#refusal(depth, key, `is a ${typeof value}; a message holds data only`);
    }
  }

  #copyObject(source: object, depth: number, key: string | number): unknown {
    if (depth >= DEPTH_MAX) throw this.#tooDeep(source, depth, key);
    this.#count(3);
    if (depth > 0) this.#enter(source, depth, key);
    if (Array.isArray(source)) return this.#copyArray(source, depth);
    const prototype: unknown = Object.getPrototypeOf(source);
    if (prototype === Object.prototype || prototype === null) return this.#copyRecord(source, depth);
    return this.#copyInstance(source, depth, key);
  }

  #copyRecord(source: object, depth: number): unknown {
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(source)) {
      const value = this.#read(source, key, depth);
      if (key === 'toJSON' && typeof value === 'function') return this.#copyJson(source, depth);
      this.bytes += 6 * key.length + 3;
      setOwn(copy, key, this.#copy(value, depth + 1, key));
    }
    return Object.freeze(copy);
  }

  #copyArray(source: readonly unknown[], depth: number): unknown {
    this.#atLeast(2 * source.length);
    const copy = new Array<unknown>(source.length);
    for (let index = 0; index < copy.length; index += 1) {
      copy[index] = this.#copy(this.#read(source, index, depth), depth + 1, index);
    }
    return Object.freeze(copy);
  }

  #copyInstance(source: object, depth: number, key: string | number): unknown {
    if (is.isDate(source)) {
      this.rich = true;
      this.bytes += 27;
      return new Date(Date.prototype.getTime.call(source));
    }
    if (is.isUint8Array(source)) {
      this.rich = true;
      const size = 4 * Math.ceil(source.length / 3);
      this.#atLeast(size);
      this.bytes += size;
      return new Uint8Array(source);
    }
    if (is.isSet(source)) {
      this.rich = true;
      const copy = new Set<unknown>();
      for (const item of source) copy.add(this.#copyItem(item, depth + 1, copy.size));
      return copy;
    }
    if (is.isMap(source)) return this.#copyMap(source, depth, key);
    // An object of another realm: of a vm context, or of the tests of a runner that uses them.
    const prototype = Object.getPrototypeOf(source) as object;
    if (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')) {
      return this.#copyRecord(source, depth);
    }
    if (typeof this.#read(source, 'toJSON', depth) === 'function') return this.#copyJson(source, depth);
    const name: unknown = this.#read(source, 'constructor', depth);
    const what = typeof name === 'function' && name.name !== '' ? `of class ${name.name}` : 'of a class';
    throw this.#refusal(depth, key, `is ${what} without toJSON(); give it one, or publish plain data`);
  }

  #copyMap(source: ReadonlyMap<unknown, unknown>, depth: number, key: string | number): unknown {
    this.rich = true;
    // An entry is an array of its own in the JSON.
    if (depth + 1 >= DEPTH_MAX) throw this.#tooDeep(source, depth, key);
    const copy = new Map<unknown, unknown>();
    for (const [itemKey, item] of source) {
      this.#enter([], depth + 1, copy.size);
      copy.set(this.#copyItem(itemKey, depth + 2, 0), this.#copyItem(item, depth + 2, 1));
    }
    return copy;
  }

  #copyItem(item: unknown, depth: number, index: number): unknown {
    this.#count(2);
    return this.#copy(item, depth, index);
  }

  #copyJson(source: object, depth: number): unknown {
    let json: unknown;
    try {
      json = (source as { toJSON(key: string): unknown }).toJSON(String(this.#keys[depth] ?? ''));
    } catch (cause) {
      throw this.#refusal(depth + 1, 'toJSON()', 'threw', cause);
    }
    return this.#copy(json, depth + 1, 'toJSON()');
  }

  #enter(container: object, depth: number, key: string | number): void {
    if (this.#keys === NO_STEPS) {
      this.#containers = [this.data];
      this.#keys = [''];
    }
    this.#containers[depth] = container;
    this.#keys[depth] = key;
  }

  #read(source: object, key: string | number, depth: number): unknown {
    try {
      return (source as Record<string | number, unknown>)[key];
    } catch (cause) {
      throw this.#refusal(depth + 1, key, 'threw when it was read', cause);
    }
  }

  /** Without a limit on the way, shared references could make a copy of astronomical size. */
  #count(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes > OVERESTIMATE * this.maxBytes)
      throw tooLarge(`more than ${this.maxBytes}`, this.maxBytes);
  }

  #atLeast(bytes: number): void {
    if (bytes > this.maxBytes) throw tooLarge(`at least ${bytes}`, this.maxBytes);
  }

  #tooDeep(source: object, depth: number, key: string | number): PayloadError {
    const containers = this.#containers.slice(0, depth);
    const loop = [...containers, source].findIndex((container, at, all) => all.indexOf(container) < at);
    if (loop === -1) return this.#refusal(depth, key, `is nested deeper than ${DEPTH_MAX} levels`);
    return this.#refusal(loop, loop === depth ? key : this.#keys[loop]!, 'contains itself');
  }

  #refusal(depth: number, key: string | number, what: string, cause?: unknown): PayloadError {
    const path = depth === 0 ? 'data' : pathOf([...this.#keys.slice(1, depth), key]);
    return new PayloadError(`${path} ${what}.`, cause === undefined ? undefined : { cause });
  }
}

/** `data.builds[3].owner`, cut in the middle when it is long. */
function pathOf(keys: readonly (string | number)[]): string {
  const path = keys
    .map((key) => {
      if (typeof key === 'number') return `[${key}]`;
      return /^[A-Za-z_$][\w$]*(?:\(\))?$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    })
    .join('');
  return `data${path.length <= 200 ? path : `${path.slice(0, 100)}…${path.slice(-100)}`}`;
}
