import type { Envelope } from '../../model/message.js';
import { packFields, unpackEnvelope } from '../../model/packed-fields.js';
import type { Payload } from '../../model/payload.js';

const decoder = new TextDecoder();

/**
 * A message as the socket and the store hold it. The hub passes it on as it came and reads the topic only, which travels
 * beside it.
 */
export function packEnvelope(envelope: Envelope): Uint8Array {
  return envelope instanceof PackedEnvelope ? envelope.bytes : packFields(envelope);
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
