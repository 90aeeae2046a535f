import type { Socket } from 'node:net';
import { Packr, Unpackr } from 'msgpackr';
import { ProtocolError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { OutgoingBytes } from './outgoing-bytes.js';
import {
  isSameHead,
  recordBytesMax,
  RUN_HEAD_BYTES,
  RUN_MARK,
  writeHead,
  writeRecord,
  type RunHead,
} from './runs.js';

/** One thing said over a socket: its kind, and what belongs to it. Of a run of messages that is its bytes. */
export type Word = readonly [kind: number, ...rest: unknown[]];

/** Words that may still change until their frame is complete. */
export interface Draft {
  words(): readonly Word[];
}

const HEADER_BYTES = 4;
/** Words wait for the end of the turn, but no more of them than this. */
const GATHERED_MAX_BYTES = 262_144;
const WORD_BYTES = 32;
/** So long a run takes no more messages: who reads it keeps all of its bytes as long as one message is needed. */
const RUN_BYTES = 16_384;

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });

/**
 * Says words over a socket, those of one turn of the event loop together. A frame is its length in four bytes, then a
 * MessagePack array of words, or one run of messages.
 */
export class FrameWriter {
  readonly #socket: Socket;
  readonly #bytes = new OutgoingBytes();
  #words: (Word | Draft)[] = [];
  /** The head of the run that takes more, and where its frame begins. */
  #head: RunHead | undefined;
  #runAt = 0;
  #run = 0;
  #scheduled = false;
  #frame = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** What waits here for the other side to read. */
  get bytesWaiting(): number {
    return this.#gatheredBytes + this.#socket.writableLength;
  }

  get #gatheredBytes(): number {
    return this.#bytes.length + this.#words.length * WORD_BYTES;
  }

  /** The number of the frame that is gathered now: as long as it is the same, a draft in it can be changed. */
  get frame(): number {
    return this.#frame;
  }

  say(word: Word | Draft): void {
    this.#endRun();
    this.#words.push(word);
    this.#flushInTime();
  }

  /**
   * Says a message, or the bytes of one, in one word with those before it that have the same head. Throws, and says
   * nothing, if it cannot be encoded. Returns the number of that word: those of one flush and one head share it.
   */
  carry(head: RunHead, message: Envelope | Uint8Array): number {
    const bytes = recordBytesMax(message);
    if (!this.#head || !isSameHead(this.#head, head) || !this.#hasRoom(bytes)) this.#beginRun(head, bytes);
    this.#bytes.end = writeRecord(this.#bytes.buffer, this.#bytes.end, message);
    this.#flushInTime();
    return this.#run;
  }

  flush(): void {
    this.#endWords();
    this.#endRun();
    if (this.#bytes.length === 0) return;
    const pieces = this.#bytes.take();
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
  }

  #flushInTime(): void {
    if (this.#gatheredBytes >= GATHERED_MAX_BYTES) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      // When nobody has anything left to do in this turn: a chain of promises is one frame, not one for each link.
      queueMicrotask(() => process.nextTick(this.#flushScheduled));
    }
  }

  readonly #flushScheduled = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  #endWords(): void {
    if (this.#words.length === 0) return;
    const words = this.#words.flatMap((word) => ('words' in word ? word.words() : [word]));
    this.#words = [];
    this.#frame++;
    const body = packr.pack(words);
    const at = this.#beginFrame(body.length);
    this.#bytes.buffer.set(body, at + HEADER_BYTES);
    this.#endFrame(at, at + HEADER_BYTES + body.length);
  }

  #hasRoom(bytes: number): boolean {
    const { end, buffer } = this.#bytes;
    return end + bytes <= buffer.length && end - this.#runAt < RUN_BYTES;
  }

  #beginRun(head: RunHead, bytes: number): void {
    this.#endWords();
    this.#endRun();
    this.#runAt = this.#beginFrame(RUN_HEAD_BYTES + bytes);
    this.#bytes.end = writeHead(this.#bytes.buffer, this.#runAt + HEADER_BYTES, head);
    this.#head = head;
    this.#run++;
  }

  #endRun(): void {
    if (!this.#head) return;
    this.#head = undefined;
    this.#endFrame(this.#runAt, this.#bytes.end);
  }

  /** Makes room for a frame whose body takes at most so many bytes, and returns where it begins. */
  #beginFrame(bytesMax: number): number {
    if (this.#socket.writableLength === 0) this.#bytes.rewind();
    this.#bytes.reserve(HEADER_BYTES + bytesMax);
    return this.#bytes.end;
  }

  #endFrame(at: number, end: number): void {
    this.#bytes.buffer.writeUInt32BE(end - at - HEADER_BYTES, at);
    this.#bytes.end = end;
  }
}

/** Puts the frames of a socket together again. */
export class FrameReader {
  /** A longer frame is no frame. */
  maxBytes: number;
  /** Of the header, or of the body after it, what is there already. */
  #parts: Buffer[] = [];
  #isHeader = true;
  #missing = HEADER_BYTES;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Calls back with the words of each frame that is complete. Throws a ProtocolError for what is none. */
  read(chunk: Buffer, heard: (words: readonly Word[]) => void): void {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + this.#missing);
      at += part.length;
      this.#missing -= part.length;
      this.#parts.push(part);
      if (this.#missing > 0) return;
      const bytes = this.#parts.length === 1 ? part : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#isHeader = !this.#isHeader;
      this.#missing = this.#isHeader ? HEADER_BYTES : this.#lengthOf(bytes);
      if (this.#isHeader) heard(wordsOf(bytes));
    }
  }

  #lengthOf(header: Buffer): number {
    const length = header.readUInt32BE();
    if (length >= 1 && length <= this.maxBytes) return length;
    throw new ProtocolError(`A frame of ${length} bytes came; at most ${this.maxBytes} are allowed.`);
  }
}

function wordsOf(body: Buffer): readonly Word[] {
  if (body[0] === RUN_MARK && body.length > 1) return [[body[1]!, body.subarray(2)]];
  let words: unknown;
  try {
    words = unpackr.unpack(body);
  } catch (cause) {
    throw new ProtocolError('A frame came that is not MessagePack.', { cause });
  }
  if (Array.isArray(words) && words.every((word) => Array.isArray(word) && typeof word[0] === 'number'))
    return words as readonly Word[];
  throw new ProtocolError('A frame came that is no list of words.');
}
