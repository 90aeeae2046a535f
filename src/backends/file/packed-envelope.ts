import type { Envelope } from '../../model/message.js';
import { packFields, topicOfPacked, unpackEnvelope } from '../../model/packed-fields.js';
import type { Payload } from '../../model/payload.js';

/** A message as the socket and the store hold it. The hub passes it on as it came and reads the topic only. */
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
    this.#topic ??= topicOfPacked(bytes);
    return bytes;
  }

  /** How many bytes it keeps in memory: none if they are on a shelf. */
  get bytesInMemory(): number {
    return this.#bytes?.length ?? 0;
  }

  get topic(): string {
    return (this.#topic ??= topicOfPacked(this.bytes));
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
    const envelope = unpackEnvelope(bytes);
    if (this.#bytes) this.#envelope = envelope;
    return envelope;
  }
}
