import type { OpenNumbers } from './message.js';
import { NumberSet } from './number-set.js';

/** Open numbers travel with every message, so there are at most this many ranges of them. */
const RANGES_MAX = 8;
// Two numbers of 16 digits, a dash and a comma for each.
const TEXT_MAX_LENGTH = RANGES_MAX * 34;
/** Of a safe integer. */
const DIGITS_MAX = 16;
const ZERO = 48;

/**
 * The sequence numbers of one producer: which were given out, and for which of them a copy may still come.
 *
 * Closing is for good, so ranges that were right once stay right: they may only say too much. That is what lets them be
 * merged, and lets them wait when there are many.
 */
export class OpenNumbersTracker {
  readonly #closed = new NumberSet();
  #last = 0;
  #closedSince = 0;
  #ranges: OpenNumbers = [[1, Infinity]];

  /** Opens the next number, from 1. */
  next(): number {
    this.#last += 1;
    return this.#last;
  }

  /** No copy of this number can come any more. Closing twice is harmless. */
  close(number: number): void {
    if (!(number >= 1 && number <= this.#last)) throw new RangeError(`Number ${number} was never given out.`);
    if (this.#closed.add(number)) this.#closedSince += 1;
  }

  /**
   * All open numbers and those to come, never too few: exactly these while they are at most 8 ranges. The same object
   * as long as nothing was closed.
   */
  ranges(): OpenNumbers {
    // Looking at many gaps for each message would cost more than sending it.
    const patience = this.#closed.size <= RANGES_MAX ? 0 : this.#closed.size >> 3;
    if (this.#closedSince > patience) {
      this.#closedSince = 0;
      this.#ranges = this.#gaps();
    }
    return this.#ranges;
  }

  #gaps(): OpenNumbers {
    const closed = this.#closed;
    const ranges: [number, number][] = [];
    let from = 1;
    for (const index of this.#widest()) {
      if (closed.from(index) > from) ranges.push([from, closed.from(index) - 1]);
      from = closed.to(index) + 1;
    }
    ranges.push([from, Infinity]);
    return ranges;
  }

  /** The closed ranges to tell of, in rising order: the one at the beginning, and of the others the widest. */
  #widest(): number[] {
    const closed = this.#closed;
    const width = (index: number) => closed.to(index) - closed.from(index);
    const first = closed.size > 0 && closed.from(0) === 1 ? [0] : [];
    const others: number[] = [];
    let narrowest = 0;
    for (let index = first.length; index < closed.size; index += 1) {
      if (others.length === RANGES_MAX - 1) {
        if (width(index) <= width(others[narrowest]!)) continue;
        others.splice(narrowest, 1);
      }
      others.push(index);
      narrowest = others.reduce((least, other, at) => (width(other) < width(others[least]!) ? at : least), 0);
    }
    return [...first, ...others];
  }
}

/** Whether a copy of this number may still come. */
export function isOpen(open: OpenNumbers, number: number): boolean {
  // Not taken apart as [from, to], which allocates: it is asked for each message.
  for (const range of open) if (number >= range[0] && number <= range[1]) return true;
  return false;
}

/** `5-7,9-` */
export function formatOpen(open: OpenNumbers): string {
  let text = '';
  for (const [from, to] of open) {
    if (text !== '') text += ',';
    text += to === Infinity ? `${from}-` : to === from ? `${from}` : `${from}-${to}`;
  }
  return text;
}

/** Reads what `formatOpen` writes; undefined for anything else. */
export function parseOpen(text: string): OpenNumbers | undefined {
  const parts = text.length <= TEXT_MAX_LENGTH ? text.split(',', RANGES_MAX + 1) : [];
  if (parts.length > RANGES_MAX) return undefined;
  const open: [number, number][] = [];
  let before = 0;
  for (const part of parts) {
    const dash = part.indexOf('-');
    const from = sequenceOf(dash === -1 ? part : part.slice(0, dash));
    const to = dash === -1 ? from : dash === part.length - 1 ? Infinity : sequenceOf(part.slice(dash + 1));
    if (from === undefined || to === undefined || from <= before || to < from) return undefined;
    open.push([from, to]);
    before = to;
  }
  return before === Infinity ? open : undefined;
}

/** The sequence number that stands here, to the end, as `String` would write it; undefined if it is none. */
export function sequenceOf(text: string, from = 0): number | undefined {
  if (text.length - from > DIGITS_MAX || text[from] === '0' || text.length === from) return undefined;
  let number = 0;
  for (let at = from; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (!(digit >= 0 && digit <= 9)) return undefined;
    number = number * 10 + digit;
  }
  return Number.isSafeInteger(number) ? number : undefined;
}
