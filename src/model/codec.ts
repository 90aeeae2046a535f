import { DecodeError, PayloadError } from './errors.js';
import type { Envelope, OpenNumbers, Origin } from './message.js';
import { formatOpen, isOpen, parseOpen, sequenceOf } from './open-numbers.js';
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

/** All attributes that a message may have, those of CloudEvents' extensions among them; others are nobody's here. */
export const ATTRIBUTES = [
  ...['specversion', 'id', 'type', 'time', 'source', 'datacontenttype'],
  ...['signalboxversion', 'signalboxtypes', 'signalboxopen', 'signalboxresent', 'signalboxfence'],
  ...['traceparent', 'tracestate'],
] as const;

const WIRE_VERSION = 1;
const HEADERS_MAX_BYTES = 32_768;
const ID_MAX_LENGTH = 256;
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(emptyHeaders());
/** Headers that travel as the attributes of CloudEvents' distributed tracing extension. */
const TRACING = ['traceparent', 'tracestate'];

// What takes longest is often the same for many messages in a row: they are of one millisecond, or one confirm.
const textOfTime = rememberLast((time: number) => new Date(time).toISOString());
const timeOfText = rememberLast(instantOf);
export const textOfOpen = rememberLast(formatOpen);
export const openOfText = rememberLast(parseOpen);

function rememberLast<Input, Output>(compute: (input: Input) => Output): (input: Input) => Output {
  let last: { readonly input: Input; readonly output: Output } | undefined;
  return (input) => {
    if (last === undefined || last.input !== input) last = { input, output: compute(input) };
    return last.output;
  };
}

/** Throws `PayloadError` when the header that revives rich types is too long. */
export function encodeEnvelope(envelope: Envelope): WireMessage {
  const { body, types } = envelope.payload.encode();
  const { origin, fence } = envelope;
  const attributes: Record<string, string> = {
    specversion: '1.0',
    id: envelope.id,
    type: envelope.topic,
    time: textOfTime(envelope.time),
    datacontenttype: 'application/json',
    signalboxversion: String(WIRE_VERSION),
  };
  if (envelope.source !== '') attributes['source'] = envelope.source;
  if (types !== undefined) attributes['signalboxtypes'] = types;
  if (origin !== undefined) attributes['signalboxopen'] = textOfOpen(origin.open);
  if (envelope.resent) attributes['signalboxresent'] = 'true';
  if (fence !== undefined) attributes['signalboxfence'] = `${fence.queue}:${fence.epoch}`;
  if (!TRACING.some((name) => envelope.headers[name])) return { attributes, headers: envelope.headers, body };
  const headers = emptyHeaders();
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
    const value: unknown = received.attributes[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const text = (name: string): string | undefined => {
    const value = attribute(name);
    return value !== undefined && isText(value) ? value : undefined;
  };
  const id = text('id') ?? received.fallbackId;
  const time = timeOfText(attribute('time') ?? '');
  // Without a version the message is foreign, and what looks like an attribute of signalbox is not.
  const version = Number(/^[1-9][0-9]{0,8}$/.exec(attribute('signalboxversion') ?? '')?.[0] ?? 0);
  const own = version === WIRE_VERSION ? attribute : () => undefined;
  return {
    id,
    topic,
    time: Number.isNaN(time) ? received.receivedAt : time,
    source: text('source') ?? '',
    headers: receivedHeaders(received, attribute),
    payload: version > WIRE_VERSION ? tooNew(id, version) : Payload.decode(body, own('signalboxtypes')),
    origin: originOf(id, openOfText(own('signalboxopen') ?? '')),
    resent: own('signalboxresent') === 'true',
    fence: fenceOf(own('signalboxfence') ?? ''),
  };
}

/** The origin that an id of the form `<producer>-<sequence>` names, if its number is open. */
export function originOf(id: string, open: OpenNumbers | undefined): Origin | undefined {
  if (open === undefined || id.length > ID_MAX_LENGTH) return undefined;
  const dash = id.lastIndexOf('-');
  const sequence = sequenceOf(id, dash + 1);
  if (dash < 1 || sequence === undefined || !isOpen(open, sequence)) return undefined;
  return { producer: producerOf(id, dash), sequence, open };
}

let lastProducer = '';

/** The same string for messages that follow each other: then it is found at once where it is a key. */
function producerOf(id: string, dash: number): string {
  if (lastProducer.length !== dash || !id.startsWith(lastProducer)) lastProducer = id.slice(0, dash);
  return lastProducer;
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
  const checked = emptyHeaders();
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
  let headers: Record<string, string> | undefined;
  let bytes = 0;
  const keep = (name: string, value: unknown): void => {
    if (typeof value !== 'string' || faultOf(name, value) !== undefined) return;
    if (headers !== undefined && name in headers) return;
    bytes += name.length + Buffer.byteLength(value);
    if (bytes <= HEADERS_MAX_BYTES) (headers ??= emptyHeaders())[name] = value;
  };
  for (const name of TRACING) keep(name, attribute(name));
  for (const name of Object.keys(received.headers)) keep(name, received.headers[name]);
  return headers === undefined ? NO_HEADERS : Object.freeze(headers);
}

/** Without a prototype, so that a header may be called `__proto__`. */
function emptyHeaders(): Record<string, string> {
  return Object.create(null) as Record<string, string>;
}

function faultOf(name: string, value: unknown): string | undefined {
  if (!/^[!-9;-~]{1,256}$/.test(name)) {
    return 'has a name that is not 1 to 256 visible ASCII characters without a colon';
  }
  if (/^(?:ce-|cloudevents)/i.test(name)) return 'has a name that belongs to CloudEvents';
  if (typeof value !== 'string') return `is of type ${typeof value}; header values are strings`;
  if (!isText(value)) return 'has a value with a control character or a lone surrogate';
  return undefined;
}

/** What every broker can carry: a control character could forge a header, a lone surrogate has no UTF-8. */
function isText(value: string): boolean {
  return /^[ -~]*$/.test(value) || !/[\p{Cc}\p{Cs}]/u.test(value);
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
