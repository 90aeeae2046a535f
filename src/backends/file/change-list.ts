/** What a change of the store is about, as it stands in the log. */
export const Subject = { newestQueue: 0, queue: 1, checkpoint: 2, entry: 3, mark: 4, letter: 5 } as const;
export type Subject = (typeof Subject)[keyof typeof Subject];

/** Takes changes in their order. Each says what is there from then on, so that the same one twice is once. */
export interface ChangeSink {
  put(subject: Subject, queue: number, place: number, bytes: Uint8Array): void;
  /** Of an entry: its mark too. Of a queue: everything it held. It need not be there. */
  remove(subject: Subject, queue: number, place: number): void;
}

/** Subject, number of the queue, place, length of what follows. */
const HEAD_BYTES = 1 + 4 + 6 + 4;
const REMOVED = 2 ** 32 - 1;
const FIRST_BYTES = 2 ** 16;

/** Changes in the form of the log, behind some bytes that are left free for the head of their record. */
export class ChangeList implements ChangeSink {
  #buffer: Buffer;
  #end: number;
  readonly #start: number;

  /** Into a buffer that nobody else needs, if one is at hand. */
  constructor(start: number, spare?: Buffer) {
    this.#buffer = spare ?? Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.#start = start;
    this.#end = start;
  }

  get isEmpty(): boolean {
    return this.#end === this.#start;
  }

  /** With what was left free. */
  get bytes(): number {
    return this.#end;
  }

  /** With what was left free before it; what is behind its bytes is anybody's guess. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  put(subject: Subject, queue: number, place: number, bytes: Uint8Array): void {
    const at = this.#head(subject, queue, place, bytes.length);
    this.#buffer.set(bytes, at);
    this.#end = at + bytes.length;
  }

  remove(subject: Subject, queue: number, place: number): void {
    this.#end = this.#head(subject, queue, place, REMOVED);
  }

  /** Says where what follows goes. */
  #head(subject: Subject, queue: number, place: number, length: number): number {
    this.#provide(HEAD_BYTES + (length === REMOVED ? 0 : length));
    const buffer = this.#buffer;
    const at = this.#end;
    buffer[at] = subject;
    buffer.writeUInt32LE(queue, at + 1);
    buffer.writeUIntLE(place, at + 5, 6);
    buffer.writeUInt32LE(length, at + 11);
    return at + HEAD_BYTES;
  }

  #provide(bytes: number): void {
    let size = this.#buffer.length;
    if (this.#end + bytes <= size) return;
    while (size < this.#end + bytes) size *= 2;
    const longer = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(longer, 0, 0, this.#end);
    this.#buffer = longer;
  }
}

/** Tells the changes of a record, which has passed its checksum. */
export function readChanges(record: Buffer, sink: ChangeSink): void {
  for (let at = 0; at < record.length;) {
    const subject = record[at] as Subject;
    const queue = record.readUInt32LE(at + 1);
    const place = record.readUIntLE(at + 5, 6);
    const length = record.readUInt32LE(at + 11);
    at += HEAD_BYTES;
    if (length === REMOVED) sink.remove(subject, queue, place);
    else {
      sink.put(subject, queue, place, record.subarray(at, at + length));
      at += length;
    }
  }
}
