import { DecodeError, PayloadError } from './errors.js';
import type { Envelope, OpenNumbers, Origin } from './message.js';
import { formatOpen, isOpen, parseOpen } from './open-numbers.js';
import { Payload } from './payload.js';
import { instantOf } from './rich-types.js';

/**
 * A message in the form that all brokers share: CloudEvents 1.0, binary mode. The names of the attributes stand here
 * without the prefix that a broker's binding gives them. Values are Unicode text without control characters.
 */
export interface WireMessage {
  readonly attributes: Readonly<Record<string, string>>;
  /** The user's own. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ReceivedMessage {
  /** The topic by which the broker routed; `type` is for readers. */
  readonly topic: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
  /** The id of a message that brings none. */
  readonly fallbackId: string;
  /** The time of a message that brings none: Unix milliseconds. */
  readonly receivedAt: number;
}

const WIRE_VERSION = 1;
const HEADERS_MAX_BYTES = 32_768;
const ID_MAX_LENGTH = 256;
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
/** Headers that travel as the attributes of CloudEvents' distributed tracing extension. */
const TRACING = ['traceparent', 'tracestate'];

/** Throws `PayloadError` when the header that revives rich types is too long. */
export function encodeEnvelope(envelope: Envelope): WireMessage {
  const { body, types } = envelope.payload.encode();
  const { origin, fence } = envelope;
  const attributes: Record<string, string> = {
    specversion: '1.0',
    id: envelope.id,
    type: envelope.topic,
    time: new Date(envelope.time).toISOString(),
    datacontenttype: 'application/json',
    signalboxversion: String(WIRE_VERSION),
  };
  if (envelope.source !== '') attributes['source'] = envelope.source;
  if (types !== undefined) attributes['signalboxtypes'] = types;
  if (origin !== undefined) attributes['signalboxopen'] = formatOpen(origin.open);
  if (envelope.resent) attributes['signalboxresent'] = 'true';
  if (fence !== undefined) attributes['signalboxfence'] = `${fence.queue}:${fence.epoch}`;
  if (!TRACING.some((name) => envelope.headers[name])) return { attributes, headers: envelope.headers, body };
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(envelope.headers)) {
    (value !== '' && TRACING.includes(name) ? attributes : headers)[name] = value;
  }
  return { attributes, headers, body };
}

/**
 * Never throws: what came may be foreign or forged. Attributes that make no sense are ignored, as are headers that
 * `checkHeaders` would refuse; a body that cannot be read, or a newer wire version, is a `DecodeError` of the payload.
 */
export function decodeEnvelope(received: ReceivedMessage): Envelope {
  const { topic, body } = received;
  const attribute = (name: string): string | undefined => {
    const value: unknown = Object.hasOwn(received.attributes, name) ? received.attributes[name] : undefined;
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const id = attribute('id') ?? received.fallbackId;
  const time = instantOf(attribute('time') ?? '');
  // Without a version the message is foreign, and what looks like an attribute of signalbox is not.
  const version = Number(/^[1-9][0-9]{0,8}$/.exec(attribute('signalboxversion') ?? '')?.[0] ?? 0);
  const own = version === WIRE_VERSION ? attribute : () => undefined;
  return {
    id,
    topic,
    time: Number.isNaN(time) ? received.receivedAt : time,
    source: attribute('source') ?? '',
    headers: receivedHeaders(received, attribute),
    payload: version > WIRE_VERSION ? tooNew(id, version) : Payload.decode(body, own('signalboxtypes')),
    origin: originOf(id, parseOpen(own('signalboxopen') ?? '')),
    resent: own('signalboxresent') === 'true',
    fence: fenceOf(own('signalboxfence') ?? ''),
  };
}

/** The origin that an id of the form `<producer>-<sequence>` names, if its number is open. */
export function originOf(id: string, open: OpenNumbers | undefined): Origin | undefined {
  if (open === undefined || id.length > ID_MAX_LENGTH) return undefined;
  const dash = id.lastIndexOf('-');
  const digits = id.slice(dash + 1);
  if (dash < 1 || !/^[1-9][0-9]{0,15}$/.test(digits)) return undefined;
  const sequence = Number(digits);
  if (!Number.isSafeInteger(sequence) || !isOpen(open, sequence)) return undefined;
  return { producer: id.slice(0, dash), sequence, open };
}

/**
 * The headers of a publish, copied and frozen. Throws `PayloadError`: names are 1 to 256 visible ASCII characters
 * without a colon and not of CloudEvents, values strings without control characters, all at most 32 kB.
 */
export function checkHeaders(
  headers: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  if (headers === undefined) return NO_HEADERS;
  if (typeof headers !== 'object' || headers === null || Symbol.iterator in headers) {
    throw new PayloadError('Headers are a plain object of strings.');
  }
  const checked: Record<string, string> = Object.create(null);
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    const fault = faultOf(name, value);
    if (fault !== undefined) throw new PayloadError(`Header ${JSON.stringify(name.slice(0, 256))} ${fault}.`);
    bytes += name.length + Buffer.byteLength(value);
    checked[name] = value;
  }
  if (bytes > HEADERS_MAX_BYTES) {
    throw new PayloadError(`The headers take ${bytes} bytes, more than ${HEADERS_MAX_BYTES}.`);
  }
  return Object.freeze(checked);
}

function receivedHeaders(
  received: ReceivedMessage,
  attribute: (name: string) => string | undefined,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null);
  let bytes = 0;
  const tracing = TRACING.map((name) => [name, attribute(name)] as const);
  for (const [name, value] of [...tracing, ...Object.entries(received.headers)]) {
    if (typeof value !== 'string' || name in headers || faultOf(name, value) !== undefined) continue;
    bytes += name.length + Buffer.byteLength(value);
    if (bytes > HEADERS_MAX_BYTES) break;
    headers[name] = value;
  }
  return bytes === 0 ? NO_HEADERS : Object.freeze(headers);
}

function faultOf(name: string, value: unknown): string | undefined {
  if (!/^[!-9;-~]{1,256}$/.test(name)) {
    return 'has a name that is not 1 to 256 visible ASCII characters without a colon';
  }
  if (/^(?:ce-|cloudevents)/i.test(name)) return 'has a name that belongs to CloudEvents';
  if (typeof value !== 'string') return `is a ${typeof value}; header values are strings`;
  // A lone surrogate has no UTF-8.
  if (/[\p{Cc}\p{Cs}]/u.test(value)) return 'has a value with a control character or a lone surrogate';
  return undefined;
}

function fenceOf(text: string): Envelope['fence'] {
  const [, queue, digits] = /^([A-Za-z0-9._-]{1,128}):(0|[1-9][0-9]{0,15})$/.exec(text) ?? [];
  const epoch = Number(digits);
  return queue !== undefined && Number.isSafeInteger(epoch) ? { queue, epoch } : undefined;
}

function tooNew(id: string, version: number): Payload {
  const text = `Message ${id.slice(0, ID_MAX_LENGTH)} has wire version ${version}, this signalbox reads up to ${WIRE_VERSION}: upgrade it.`;
  return Payload.undecodable(new DecodeError(text));
}
