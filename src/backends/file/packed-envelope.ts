import { Packr, Unpackr } from 'msgpackr';
import { checkHeaders, openOfText, originOf, textOfOpen } from '../../model/codec.js';
import { DecodeError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { Payload } from '../../model/payload.js';

/** Of the packed form, in the store and on the socket. */
const PACKED_VERSION = 1;

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });
const decoder = new TextDecoder();

/**
 * A message as the socket and the store hold it: a MessagePack array. The hub passes it on as it came and reads the
 * topic only, which travels beside it.
 */
export function packEnvelope(envelope: Envelope): Uint8Array {
  if (envelope instanceof PackedEnvelope) return envelope.bytes;
  const { topic, id, time, source, headers, origin, resent } = envelope;
  const { body, types } = envelope.payload.encode();
  const open = origin && textOfOpen(origin.open);
  const pairs = Object.entries(headers);
  return packr.pack([
    ...[PACKED_VERSION, topic, id, time, source],
    ...[pairs.length > 0 ? pairs.flat() : null, types, open, resent, body],
  ]);
}

/** Never throws: what cannot be read becomes an envelope whose payload says so. */
export function unpackEnvelope(topic: string, bytes: Uint8Array): Envelope {
  try {
    return readFields(topic, unpackr.unpack(bytes));
  } catch (cause) {
    return unreadable(topic, new DecodeError('The message cannot be read.', { cause }));
  }
}

/** Where the bytes of messages that are not in memory can be read. */
export interface Shelf {
  /** Throws a DecodeError if nothing is there any more. */
  read(place: number): Uint8Array;
}

/** A message in the hub, read only as far as somebody asks. Its bytes are in memory, or on a shelf. */
export class PackedEnvelope implements Envelope {
  /** The hub itself refuses a former owner: receivers need no fence. */
  readonly fence = undefined;
  readonly #bytes: Uint8Array | undefined;
  readonly #shelf: Shelf | undefined;
  readonly #place: number;
  #topic: string | undefined;
  #envelope: Envelope | undefined;

  constructor(topic: string | undefined, bytes: Uint8Array | undefined, shelf?: Shelf, place = 0) {
    this.#topic = topic;
    this.#bytes = bytes;
    this.#shelf = shelf;
    this.#place = place;
  }

  get bytes(): Uint8Array {
    if (this.#bytes) return this.#bytes;
    const bytes = this.#shelf!.read(this.#place);
    // Who asks for the bytes asks for the topic next.
    this.#topic ??= topicOf(bytes);
    return bytes;
  }

  /** How many bytes it keeps in memory: none if they are on a shelf. */
  get bytesInMemory(): number {
    return this.#bytes?.length ?? 0;
  }

  get topic(): string {
    return (this.#topic ??= topicOf(this.bytes));
  }

  get id(): string {
    return this.#unpacked.id;
  }

  get time(): number {
    return this.#unpacked.time;
  }

  get source(): string {
    return this.#unpacked.source;
  }

  get headers(): Envelope['headers'] {
    return this.#unpacked.headers;
  }

  get payload(): Payload {
    return this.#unpacked.payload;
  }

  get origin(): Envelope['origin'] {
    return this.#unpacked.origin;
  }

  get resent(): boolean {
    return this.#unpacked.resent;
  }

  get #unpacked(): Envelope {
    if (this.#envelope) return this.#envelope;
    const { bytes } = this;
    const envelope = unpackEnvelope(this.topic, bytes);
    if (this.#bytes) this.#envelope = envelope;
    return envelope;
  }
}

/** Reads no further than the topic. Empty if these are not the bytes of a message. */
function topicOf(bytes: Uint8Array): string {
  // The array's head and the version take a byte each; then a text with its length in the low 5 bits, or in a byte.
  const head = bytes[2];
  if (head === undefined) return '';
  const isShort = head >> 5 === 0b101;
  if (!isShort && head !== 0xd9) return '';
  const from = isShort ? 3 : 4;
  const length = isShort ? head & 0x1f : (bytes[3] ?? 0);
  return decoder.decode(bytes.subarray(from, from + length));
}

function readFields(expected: string, fields: unknown): Envelope {
  if (!Array.isArray(fields)) throw new TypeError('not an array');
  const [version, topic, id, time, source, pairs, types, open, resent, body] = fields as readonly unknown[];
  if (typeof version === 'number' && version > PACKED_VERSION)
    return unreadable(
      expected,
      new DecodeError(
        `The message has packed form ${version}, this signalbox reads up to ${PACKED_VERSION}: upgrade it.`,
      ),
    );
  if (version !== PACKED_VERSION || topic !== expected) throw new TypeError('not a packed message');
  if (typeof id !== 'string' || typeof time !== 'number' || typeof source !== 'string')
    throw new TypeError('a field of another type');
  return {
    id,
    topic: expected,
    time,
    source,
    headers: checkHeaders(Array.isArray(pairs) ? headersOf(pairs) : undefined),
    payload: Payload.decode(text(body), types == null ? undefined : text(types)),
    origin: typeof open === 'string' ? originOf(id, openOfText(open)) : undefined,
    resent: resent === true,
    fence: undefined,
  };
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('a field that is no text');
  return value;
}

function headersOf(pairs: readonly unknown[]): Record<string, string> {
  const headers = Object.create(null) as Record<string, string>;
  for (let at = 0; at + 1 < pairs.length; at += 2) headers[text(pairs[at])] = text(pairs[at + 1]);
  return headers;
}

function unreadable(topic: string, error: DecodeError): Envelope {
  return {
    id: 'unreadable',
    topic,
    time: 0,
    source: '',
    headers: checkHeaders(undefined),
    payload: Payload.undecodable(error),
    origin: undefined,
    resent: false,
    fence: undefined,
  };
}
