import type { Socket } from 'node:net';
import { Packr, Unpackr } from 'msgpackr';
import { ProtocolError } from '../../model/errors.js';

/** One thing said over a socket: its kind, and what belongs to it. */
export type Word = readonly [kind: number, ...rest: unknown[]];

const HEADER_BYTES = 4;
/** Words wait for the end of the turn, but no more of them than this. */
const GATHERED_MAX_BYTES = 262_144;
const WORD_BYTES = 32;

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });

/**
 * Says words over a socket. Those of one turn of the event loop go in one frame: its length in four bytes, then a
 * MessagePack array of words.
 */
export class FrameWriter {
  readonly #socket: Socket;
  #words: Word[] = [];
  #gatheredBytes = 0;
  #scheduled = false;
  #frame = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** What waits here for the other side to read. */
  get bytesWaiting(): number {
    return this.#gatheredBytes + this.#socket.writableLength;
  }

  /** The number of the frame that is gathered now: as long as it is the same, a word in it can be changed. */
  get frame(): number {
    return this.#frame;
  }

  say(word: Word, bytes = 0): void {
    this.#words.push(word);
    this.#gatheredBytes += bytes + WORD_BYTES;
    if (this.#gatheredBytes >= GATHERED_MAX_BYTES) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      // When nobody has anything left to do in this turn: a chain of promises is one frame, not one for each link.
      queueMicrotask(() => process.nextTick(this.#flushScheduled));
    }
  }

  flush(): void {
    if (this.#words.length === 0) return;
    const body = packr.pack(this.#words);
    this.#words = [];
    this.#gatheredBytes = 0;
    this.#frame++;
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUInt32BE(body.length);
    this.#socket.cork();
    this.#socket.write(header);
    this.#socket.write(body);
    this.#socket.uncork();
  }

  readonly #flushScheduled = (): void => {
    this.#scheduled = false;
    this.flush();
  };
}

/** Puts the frames of a socket together again. */
export class FrameReader {
  /** A longer frame is no frame. */
  maxBytes: number;
  #parts: Buffer[] = [];
  #held = 0;
  #wanted = HEADER_BYTES;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Calls back with the words of each frame that is complete. Throws a ProtocolError for what is none. */
  read(chunk: Buffer, heard: (words: readonly Word[]) => void): void {
    this.#parts.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#wanted) return;
    let rest = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    this.#parts = [];
    while (rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#lengthOf(rest);
      if (rest.length < end) {
        this.#wanted = end;
        break;
      }
      const body = rest.subarray(HEADER_BYTES, end);
      rest = rest.subarray(end);
      this.#wanted = HEADER_BYTES;
      heard(wordsOf(body));
    }
    if (rest.length > 0) this.#parts.push(rest);
    this.#held = rest.length;
  }

  #lengthOf(frame: Buffer): number {
    const length = frame.readUInt32BE();
    if (length >= 1 && length <= this.maxBytes) return length;
    throw new ProtocolError(`A frame of ${length} bytes came; at most ${this.maxBytes} are allowed.`);
  }
}

function wordsOf(body: Buffer): readonly Word[] {
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
