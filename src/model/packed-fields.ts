import { checkHeaders, openOfText, originOf, textOfOpen } from './codec.js';
import { DecodeError } from './errors.js';
import type { Envelope } from './message.js';
import { Payload } from './payload.js';
import { RecurringText } from './recurring-text.js';

/*
 * A message as one string of bytes, in stores and on sockets; written and read by hand, since each passes here several
 * times. Numbers are big-endian, texts UTF-8:
 *
 *     8 bits    the version
 *     16 bits   how long the topic is, and the topic: so far every version is the same
 *     8 bits    1 if it was sent again
 *     64 bits   the time, a double
 *     5 × 32    how long each of the texts is
 *     texts     id, source, open numbers, types header, headers as JSON; empty where there is none
 *     body      up to the end
 */
const PACKED_VERSION = 1;
const TOPIC_AT = 3;
const TIME_AT = 1;
const LENGTHS_AT = 9;
const TEXTS_AT = 29;

/** What a UTF-16 unit takes in UTF-8 at most. */
const UNIT_BYTES_MAX = 3;
const COUNTED_FROM = 2_048;

const topics = new RecurringText();
const sources = new RecurringText();
const opens = new RecurringText();

/** How many bytes `packInto` writes at most. Throws what `Payload.encode` throws. */
export function packedBytesMax(envelope: Envelope): number {
  const { topic, id, source, headers, origin, payload } = envelope;
  const { body, types } = payload.encode();
  let units = topic.length + id.length + source.length + textOfHeaders(headers).length;
  if (types !== undefined) units += types.length;
  if (origin !== undefined) units += textOfOpen(origin.open).length;
  // To count the bytes takes time, which is worth it only where much room would be taken in vain.
  const bodyBytes = body.length > COUNTED_FROM ? Buffer.byteLength(body) : body.length * UNIT_BYTES_MAX;
  return TOPIC_AT + TEXTS_AT + units * UNIT_BYTES_MAX + bodyBytes;
}

/** Writes a message where there is room for it; returns where it ends. Its fence, a broker's own, is left out. */
export function packInto(target: Buffer, start: number, envelope: Envelope): number {
  const { origin, payload } = envelope;
  const { body, types } = payload.encode();
  const topicBytes = topics.write(target, start + TOPIC_AT, envelope.topic);
  target[start] = PACKED_VERSION;
  target.writeUInt16BE(topicBytes, start + 1);
  const head = start + TOPIC_AT + topicBytes;
  target[head] = envelope.resent ? 1 : 0;
  target.writeDoubleBE(envelope.time, head + TIME_AT);
  const lengths = head + LENGTHS_AT;
  const id = head + TEXTS_AT;
  const source = id + target.write(envelope.id, id);
  const open = source + sources.write(target, source, envelope.source);
  const typesAt = open + (origin === undefined ? 0 : opens.write(target, open, textOfOpen(origin.open)));
  const headers = typesAt + (types === undefined ? 0 : target.write(types, typesAt));
  const headersText = textOfHeaders(envelope.headers);
  const bodyAt = headers + (headersText === '' ? 0 : target.write(headersText, headers));
  target.writeUInt32BE(source - id, lengths);
  target.writeUInt32BE(open - source, lengths + 4);
  target.writeUInt32BE(typesAt - open, lengths + 8);
  target.writeUInt32BE(headers - typesAt, lengths + 12);
  target.writeUInt32BE(bodyAt - headers, lengths + 16);
  return bodyAt + target.write(body, bodyAt);
}

/** A message's bytes, which keep no others in memory. */
export function packFields(envelope: Envelope): Buffer {
  const target = Buffer.allocUnsafeSlow(packedBytesMax(envelope));
  return Buffer.from(target.subarray(0, packInto(target, 0, envelope)));
}

/** The topic alone, which every version tells; empty if these are not the bytes of a message. */
export function topicOfPacked(packed: Uint8Array): string {
  const bytes = bufferOf(packed);
  const end = TOPIC_AT + (bytes.length < TOPIC_AT ? 0 : bytes.readUInt16BE(1));
  return end > bytes.length ? '' : topics.read(bytes, TOPIC_AT, end);
}

/** Never throws: what cannot be read becomes an envelope whose payload says so. */
export function unpackEnvelope(bytes: Uint8Array, from = 0, to = bytes.length): Envelope {
  try {
    return unpackFields(bytes, from, to);
  } catch (error) {
    return unreadable(topicOfPacked(bytes.subarray(from, to)), error as DecodeError);
  }
}

/** Throws a DecodeError for what cannot be read. */
export function unpackFields(bytes: Uint8Array, from = 0, to = bytes.length): Envelope {
  try {
    return readFields(bufferOf(bytes), from, to);
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause;
    throw new DecodeError('The message cannot be read.', { cause });
  }
}

function readFields(bytes: Buffer, from: number, to: number): Envelope {
  const version = bytes[from]!;
  if (version > PACKED_VERSION)
    throw new DecodeError(
      `The message has packed form ${version}, this signalbox reads up to ${PACKED_VERSION}: upgrade it.`,
    );
  // Each read outside of the buffer throws, but not one outside of these bounds.
  const head = from + TOPIC_AT + bytes.readUInt16BE(from + 1);
  const lengths = head + LENGTHS_AT;
  const id = head + TEXTS_AT;
  const source = id + bytes.readUInt32BE(lengths);
  const open = source + bytes.readUInt32BE(lengths + 4);
  const types = open + bytes.readUInt32BE(lengths + 8);
  const headers = types + bytes.readUInt32BE(lengths + 12);
  const body = headers + bytes.readUInt32BE(lengths + 16);
  if (version !== PACKED_VERSION || body > to) throw new DecodeError('This is no packed message.');
  const idText = bytes.toString('utf8', id, source);
  return {
    id: idText,
    topic: topics.read(bytes, from + TOPIC_AT, head),
    time: bytes.readDoubleBE(head + TIME_AT),
    source: sources.read(bytes, source, open),
    headers: checkHeaders(headers === body ? undefined : headersOf(bytes.toString('utf8', headers, body))),
    payload: Payload.decode(
      bytes.toString('utf8', body, to),
      types === headers ? undefined : bytes.toString('utf8', types, headers),
    ),
    origin: open === types ? undefined : originOf(idText, openOfText(opens.read(bytes, open, types))),
    resent: bytes[head] === 1,
    fence: undefined,
  };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function textOfHeaders(headers: Envelope['headers']): string {
  for (const _ in headers) return JSON.stringify(headers);
  return '';
}

function headersOf(text: string): Record<string, string> {
  return JSON.parse(text) as Record<string, string>;
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
