import type { Msg } from '@nats-io/transport-node';
import type { Ownership } from '../../backend.js';
import { ATTRIBUTES, decodeEnvelope, encodeEnvelope } from '../../model/codec.js';
import type { Envelope } from '../../model/message.js';
import type { HeaderBlock } from './connection.js';

/** Attributes of CloudEvents, as its NATS binding names them. */
const ATTRIBUTE = 'ce-';
const ATTRIBUTE_OF = new Map<string, string>(ATTRIBUTES.map((name) => [ATTRIBUTE + name, name]));
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});
/** What only we read, beside the attributes of the message. */
const OWN = 'signalbox-';
/** By which the server recognises what is published twice. */
export const MESSAGE_ID = 'Nats-Msg-Id';
/** Names that the server takes for its own, and what an escaped name begins with. */
const RESERVED = /^(?:nats-|signalbox-|ce-|~)/i;
/** A value that arrives as it was sent: the client library trims them, and a percent sign is ours. */
const PLAIN = /^[!-$&-~](?:[ -$&-~]*[!-$&-~])?$/;

/** A message as it is published. */
export interface Packed {
  readonly body: string;
  readonly lines: string;
}

/** In binary mode. The fence is what the ownership says, never what the message does. */
export function pack(envelope: Envelope, fence: Ownership | undefined): Packed {
  const told = fence && { queue: fence.queue, epoch: fence.epoch };
  const wire = encodeEnvelope(envelope.fence === told ? envelope : { ...envelope, fence: told });
  let lines = '';
  for (const name in wire.attributes) lines += line(ATTRIBUTE + name, wire.attributes[name]!);
  for (const name in wire.headers) {
    const value = wire.headers[name]!;
    lines += RESERVED.test(name) || !PLAIN.test(value) ? line(`~${name}`, value) : `${name}: ${value}\r\n`;
  }
  return { body: wire.body, lines };
}

/** Marks that only signalbox reads. */
export function markLines(marks: Readonly<Record<string, string>>): string {
  let lines = '';
  for (const name in marks) lines += line(OWN + name, marks[name]!);
  return lines;
}

/** Headers that the server reads. */
export function serverLine(name: string, value: string | number): string {
  return `${name}: ${value}\r\n`;
}

export function blockOf(lines: string): HeaderBlock {
  return Buffer.from(`NATS/1.0\r\n${lines}\r\n`);
}

function line(name: string, value: string): string {
  return `${name}: ${PLAIN.test(value) ? value : encodeURIComponent(value)}\r\n`;
}

/** The headers of a message as lists of names and values, as they stand there. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

export function headersOf(message: { readonly headers?: Msg['headers'] | undefined }): HeaderList {
  const list: [string, string][] = [];
  if (message.headers) for (const [name, values] of message.headers) list.push([name, values[0] ?? '']);
  return list;
}

/** As they were written, of those that we have written. */
export function linesOf(headers: HeaderList, keep: (name: string) => boolean): string {
  let lines = '';
  for (const [name, value] of headers) if (keep(name)) lines += `${name}: ${value}\r\n`;
  return lines;
}

export function readMark(headers: HeaderList, name: string): string | undefined {
  const found = headers.find(([one]) => one === OWN + name);
  return found && decode(found[1]);
}

export function isMark(name: string): boolean {
  return name.startsWith(OWN);
}

export function isServers(name: string): boolean {
  return /^nats-/i.test(name);
}

export interface Arrived {
  readonly topic: string;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
  /** Taken for the time of a message that brings none. */
  readonly receivedAt: number;
  /** Taken for the id of a message that brings none. */
  readonly fallbackId: string;
}

/** Never throws: what came may be foreign. */
export function unpack({ topic, headers: given, body, receivedAt, fallbackId }: Arrived): Envelope {
  const attributes: Record<string, string> = {};
  // Of most messages none, and an object without a prototype takes long to make.
  let headers: Record<string, string> | undefined;
  for (const [name, value] of given) {
    const attribute = ATTRIBUTE_OF.get(name);
    if (attribute !== undefined) attributes[attribute] = decode(value);
    else if (name.startsWith('~')) (headers ??= noPrototype())[name.slice(1)] = decode(value);
    else if (!RESERVED.test(name)) (headers ??= noPrototype())[name] = value;
  }
  return decodeEnvelope({ topic, attributes, headers: headers ?? NO_HEADERS, body, fallbackId, receivedAt });
}

/** What foreign names stand in. */
function noPrototype(): Record<string, string> {
  return Object.create(null) as Record<string, string>;
}

function decode(value: string): string {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
