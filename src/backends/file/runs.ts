import { ProtocolError } from '../../model/errors.js';
import type { Envelope } from '../../model/message.js';
import { packedBytesMax, packInto } from '../../model/packed-fields.js';

/*
 * Messages travel in runs: a mark that no MessagePack begins with, the kind of the word, the numbers that hold for each of
 * its messages as doubles, and then of each message its length in four bytes and what `packed-fields.ts` makes of it.
 */

export const RUN_MARK = 0xc1;

/** What its kind has no use for is 0. */
export type RunHead = readonly [kind: number, number, number, number, number];

const NUMBERS = 4;
const NUMBERS_BYTES = NUMBERS * 8;
const LENGTH_BYTES = 4;
export const RUN_HEAD_BYTES = 2 + NUMBERS_BYTES;

export function isSameHead(one: RunHead, other: RunHead): boolean {
  if (one === other) return true;
  for (let at = 0; at <= NUMBERS; at++) if (one[at] !== other[at]) return false;
  return true;
}

/** Returns where it ends. */
export function writeHead(target: Buffer, start: number, head: RunHead): number {
  target[start] = RUN_MARK;
  target[start + 1] = head[0];
  for (let at = 0; at < NUMBERS; at++) target.writeDoubleBE(head[at + 1]!, start + 2 + at * 8);
  return start + RUN_HEAD_BYTES;
}

/** How many bytes `writeRecord` writes at most. Throws for a message that cannot be encoded. */
export function recordBytesMax(message: Envelope | Uint8Array): number {
  return LENGTH_BYTES + (message instanceof Uint8Array ? message.length : packedBytesMax(message));
}

/** Writes a message, or the bytes of one that is packed already; returns where it ends. */
export function writeRecord(target: Buffer, start: number, message: Envelope | Uint8Array): number {
  const from = start + LENGTH_BYTES;
  let end;
  if (message instanceof Uint8Array) {
    target.set(message, from);
    end = from + message.length;
  } else end = packInto(target, from, message);
  target.writeUInt32BE(end - from, start);
  return end;
}

/** Reads a run, one message after the other. Throws a ProtocolError as soon as it is none. */
export class RunReader {
  /** Those of its head. */
  readonly numbers: readonly [number, number, number, number];
  /** Where the message at hand begins and ends. */
  from = 0;
  to = NUMBERS_BYTES;

  /** Without the mark and the kind. */
  constructor(readonly bytes: Buffer) {
    if (bytes.length < NUMBERS_BYTES) throw new ProtocolError('A run of messages came without its numbers.');
    const number = (at: number): number => {
      const value = bytes.readDoubleBE(at * 8);
      if (Number.isSafeInteger(value) && value >= 0) return value;
      throw new ProtocolError('A run of messages came with a number that is none.');
    };
    this.numbers = [number(0), number(1), number(2), number(3)];
  }

  /** Goes on to the next message; false at the end. */
  next(): boolean {
    const { bytes, to } = this;
    if (to === bytes.length) return false;
    this.from = to + LENGTH_BYTES;
    this.to = this.from <= bytes.length ? this.from + bytes.readUInt32BE(to) : Infinity;
    if (this.to <= bytes.length) return true;
    throw new ProtocolError('A run of messages came that is cut off.');
  }
}
