import type { Payload } from './payload.js';

/**
 * The numbers of a producer that are not yet settled, as inclusive ranges in rising order: at most 8, the last without
 * end (`Infinity`). A copy of a message may still come for these numbers only; all others may be forgotten.
 */
export type OpenNumbers = readonly (readonly [from: number, to: number])[];

/** Who sent a message, and which of its numbers may still come again. */
export interface Origin {
  readonly producer: string;
  readonly sequence: number;
  readonly open: OpenNumbers;
}

/** A message on its way, as backends pass it on: its data may still be bytes. */
export interface Envelope {
  /** `<producer>-<sequence>`; of a foreign message what its sender gave, or a random name. */
  readonly id: string;
  /** The string form. */
  readonly topic: string;
  /** Unix time in milliseconds. */
  readonly time: number;
  /** CloudEvents `source`: `signalbox:<namespace>/<master>`, or what a foreign producer says. */
  readonly source: string;
  /** The user's own. */
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Payload;
  /** Undefined for a foreign message, which is never taken for a duplicate. */
  readonly origin: Origin | undefined;
  /** A copy that the producer sent again because it does not know what became of the first. */
  readonly resent: boolean;
  /**
   * As received: published under the fence of this queue's owner, where receivers have to refuse a former one. Undefined
   * in every delivery after the broker's first, and in a letter that was put back.
   */
  readonly fence: { readonly queue: string; readonly epoch: number } | undefined;
}

/** What a handler gets. The message and plain data are deep-frozen and shared by all handlers of this process. */
export interface Message<
  Data = unknown,
  Params = Readonly<Record<string, string>>,
  Key = string | undefined,
> {
  readonly id: string;
  readonly topic: string;
  readonly words: readonly string[];
  /** The catalogue's key that matched, undefined without one. */
  readonly key: Key;
  readonly params: Params;
  readonly data: Data;
  readonly time: Date;
  /** The name of the master that published it; of a foreign message its CloudEvents source. */
  readonly source: string;
  readonly headers: Readonly<Record<string, string>>;
}
