import { Packr, Unpackr } from 'msgpackr';
import { checkHeaders, openOfText, originOf, textOfOpen } from './codec.js';
import { DecodeError } from './errors.js';
import type { Envelope } from './message.js';
import { Payload } from './payload.js';

/** Of the packed form, in stores and on sockets. */
const PACKED_VERSION = 1;

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });

/** A message as one string of bytes: a MessagePack array. Its fence, which only a broker understands, is left out. */
export function packFields(envelope: Envelope): Uint8Array {
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

/** Throws a DecodeError for what cannot be read. */
export function unpackFields(bytes: Uint8Array): Envelope {
  try {
    const fields = unpackr.unpack(bytes) as unknown;
    return readFields(Array.isArray(fields) ? text(fields[1]) : '', fields);
  } catch (cause) {
    throw new DecodeError('The message cannot be read.', { cause });
  }
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
