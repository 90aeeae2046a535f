import type { OwnEnvelope } from './outgoing.js';

/** Where a message stands: an earlier generation comes first, and in it a lower sequence number. */
export interface SpoolPlace {
  readonly generation: number;
  readonly sequence: number;
}

export interface SpooledMessage {
  readonly place: SpoolPlace;
  /** Why it cannot be read, if it cannot. */
  readonly envelope: OwnEnvelope | Error;
}

/**
 * Messages on this machine's disk, for one process at a time. It keeps them and decides nothing. Calls after `close` do
 * nothing.
 */
export interface Spool {
  /** Of this opening: higher than that of whatever an earlier process has left. */
  readonly generation: number;
  /** To be sent, with those that are not flushed yet. */
  readonly messages: number;
  readonly bytes: number;
  /** Why nothing more is taken for now. */
  readonly refusal: Error | undefined;
  /**
   * Resolves when it is flushed to the disk; `read` does not give it earlier. Rejects if it cannot be written: then it is
   * not in the spool. The same place again replaces what is there.
   */
  put(place: SpoolPlace, envelope: OwnEnvelope): Promise<void>;
  /** It is confirmed. Written down by and by: after a crash the next process may find it again. */
  remove(place: SpoolPlace): void;
  /** The next ones after a place, in order, and none behind one that is not flushed yet. */
  read(after: SpoolPlace | undefined, count: number): readonly SpooledMessage[];
  /** Takes it out and keeps it for people: no broker will take it. */
  setAside(place: SpoolPlace, reason: Error): Promise<void>;
  /** Resolves when everything is flushed and another process may have the folder. */
  close(): Promise<void>;
}

export function isBefore(one: SpoolPlace, other: SpoolPlace): boolean {
  return one.generation === other.generation
    ? one.sequence < other.sequence
    : one.generation < other.generation;
}
