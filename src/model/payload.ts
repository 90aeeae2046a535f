import { isUtf8 } from 'node:buffer';
import { DecodeError, PayloadError } from './errors.js';
import { Copier, tooLarge } from './copier.js';
import { jsonText } from './json-text.js';
import { renew, revive, toPlain } from './revival.js';
import { isMutable, type RichType } from './rich-types.js';
import { typeOf } from './type-inference.js';
import { DEPTH_MAX, TYPES_HEADER_MAX, readTypes, writeTypes } from './types-header.js';

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
    if (this.#type === undefined) return { body: jsonText(this.#value), types: undefined };
    return { body: jsonText(toPlain(this.#value)), types: writeHeader(this.#type) };
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
  if (Array.isArray(json)) for (const item of json) freeze(item, depth + 1);
  // Without the list of values that Object.values would make.
  else
    for (const key in json)
      if (Object.hasOwn(json, key)) freeze((json as Record<string, unknown>)[key], depth + 1);
  return Object.freeze(json);
}
