import type { MessageProperties, Options } from 'amqplib';
import type { Ownership } from '../../backend.js';
import { ATTRIBUTES, decodeEnvelope, encodeEnvelope } from '../../model/codec.js';
import { PayloadError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';

/** Attributes of CloudEvents, as its AMQP binding names them. Some clients write a colon. */
const WRITTEN = ATTRIBUTES.filter((name) => name !== 'datacontenttype').map(
  (name) => ({ name, header: `cloudEvents_${name}` }) as const,
);
const READ = new Map<string, string>(
  ATTRIBUTES.flatMap((name) => ['_', ':'].map((mark) => [`cloudEvents${mark}${name}`, name] as const)),
);
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});
/** What only we read, beside the attributes of the message. */
const OWN = 'signalbox-';
/** Names that the broker or the client library takes for its own, and what an escaped name begins with. */
const RESERVED =
  /^(?:x-(?:death|first-death|last-death|delivery-count|acquired-count|opt-|stream-|delay|received-from)|b?cc$|__proto__$|signalbox-|~)/i;
const HEADER_NAME_MAX = 255;

type Headers = Record<string, unknown>;

/** A message as it is published. */
export interface Packed {
  readonly body: Buffer;
  readonly options: Omit<Options.Publish, 'headers'> & { readonly headers: Headers };
}

/**
 * Persistent, in binary mode. The fence is what the ownership says, never what the message does.
 *
 * `spare` is an object for the headers of a message whose user has given none: it must be sent before the next is packed.
 * amqplib makes the headers the prototype of another object, and the first time that takes V8 as long as all the rest.
 */
export function pack(envelope: Envelope, fence: Ownership | undefined, spare: Headers = {}): Packed {
  const told = fence && { queue: fence.queue, epoch: fence.epoch };
  const wire = encodeEnvelope(envelope.fence === told ? envelope : { ...envelope, fence: told });
  let headers = spare;
  for (const name in wire.headers) {
    if (headers === spare) headers = {};
    headers[escapeName(name)] = wire.headers[name];
  }
  // The library leaves out what is undefined.
  for (const { name, header } of WRITTEN) headers[header] = wire.attributes[name];
  return {
    body: Buffer.from(wire.body),
    options: { deliveryMode: 2, contentType: 'application/json', headers },
  };
}

/** Adds what only signalbox reads. */
export function mark(packed: Packed, marks: Readonly<Record<string, string>>): Packed {
  const headers: Headers = { ...packed.options.headers };
  for (const [name, value] of Object.entries(marks)) headers[OWN + name] = value;
  return { body: packed.body, options: { ...packed.options, headers } };
}

export function readMark(properties: MessageProperties, name: string): string | undefined {
  const value = headersOf(properties)[OWN + name];
  return typeof value === 'string' ? value : undefined;
}

export interface Arrived {
  readonly content: Buffer;
  readonly topic: string;
  readonly properties: MessageProperties;
  /** Taken for the time of a message that brings none. */
  readonly receivedAt: number;
  /** Taken for the id of a message that brings none. */
  readonly randomId: () => string;
}

/** Never throws: what came may be foreign. */
export function unpack(arrived: Arrived): Envelope {
  const { content, topic, properties, receivedAt, randomId } = arrived;
  const attributes: Record<string, string> = {};
  // Of most messages none, and an object without a prototype takes long to make.
  let headers: Record<string, string> | undefined;
  const given = headersOf(properties);
  for (const name in given) {
    const value = given[name];
    const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
    if (typeof text !== 'string') continue;
    const attribute = READ.get(name);
    if (attribute !== undefined) attributes[attribute] = text;
    else if (name.startsWith('~')) (headers ??= noPrototype())[name.slice(1)] = text;
    else if (!RESERVED.test(name)) (headers ??= noPrototype())[name] = text;
  }
  const { messageId, timestamp } = properties as { messageId?: unknown; timestamp?: unknown };
  return decodeEnvelope({
    topic,
    attributes,
    headers: headers ?? NO_HEADERS,
    body: content,
    // Only asked for when it is needed: a random one takes longer than all the rest.
    get fallbackId() {
      return typeof messageId === 'string' && messageId !== '' ? messageId : randomId();
    },
    // Of AMQP in seconds.
    receivedAt: typeof timestamp === 'number' ? timestamp * 1_000 : receivedAt,
  });
}

/** All kinds of values: they may be foreign. */
export function headersOf(properties: MessageProperties): Readonly<Headers> {
  return (properties.headers as Headers | undefined) ?? {};
}

/** What foreign names stand in. */
function noPrototype(): Record<string, string> {
  return Object.create(null) as Record<string, string>;
}

function escapeName(name: string): string {
  const escaped = RESERVED.test(name) ? `~${name}` : name;
  if (escaped.length <= HEADER_NAME_MAX) return escaped;
  throw new PayloadError(`Header ${JSON.stringify(name)} has a name that is too long for AMQP.`);
}
