import type { LetterDetails, QueueSpec, QueueStatus } from '../../backend.js';

/** Of what is said over the socket. A hub and a master of different protocols refuse each other. */
export const PROTOCOL = 3;
export const MAGIC = 'signalbox';

/** Before somebody has said who it is, a frame is short. */
export const HELLO_MAX_BYTES = 4_096;
export const FRAME_MAX_BYTES = 1_073_741_824;

/** What a master says. */
export const Said = {
  hello: 0,
  /** A run of messages under one claim, or under 0. Numbered by their order in the session. */
  publish: 1,
  call: 2,
  begin: 3,
  cutOff: 4,
  /** The deliveries from one number to another. */
  ack: 5,
  ping: 6,
} as const;

/** What the hub says. */
export const Told = {
  welcome: 0,
  /** The session ends, or does not begin. */
  refused: 1,
  /** Every publish up to this number that was not refused. */
  confirmed: 2,
  notTaken: 3,
  result: 4,
  failed: 5,
  /** A run of messages for one listener. */
  message: 6,
  missed: 7,
  /** A run of messages for one consumer, that are `redelivered` or not, of one attempt and one redrive number. */
  delivery: 8,
  consumerLost: 9,
  granted: 10,
  standby: 11,
  claimLost: 12,
  pong: 13,
  full: 14,
} as const;

export interface Hello {
  readonly magic: string;
  readonly protocol: number;
  readonly namespace: string;
  readonly master: string;
  readonly incarnation: string;
  readonly ownerTimeoutMs: number;
}

/** Calls that are answered: their arguments and what they resolve with. Numbers name what the master has opened. */
export interface Calls {
  listen(listener: number): void;
  unlisten(listener: number): void;
  bind(listener: number, pattern: string): void;
  unbind(listener: number, pattern: string): void;
  declare(spec: QueueSpec): void;
  find(queue: string): boolean;
  remove(queue: string, whileInUse: boolean): void;
  queues(): QueueStatus[];
  claim(claim: number, queue: string): void;
  withdraw(claim: number): void;
  bindQueue(claim: number, patterns: readonly string[]): void;
  save(claim: number, checkpoint: Uint8Array, settled: readonly DeliveryName[]): void;
  consume(consumer: number, queue: string, prefetch: number, claim: number | null): void;
  allow(consumer: number, inHand: number): void;
  endConsumer(consumer: number): void;
  reject(consumer: number, delivery: number, letter: LetterDetails): void;
  letterIds(queue: string): string[];
  /** Those of them that are still there. */
  letters(queue: string, ids: readonly string[]): PackedLetter[];
  redrive(queue: string, ids: readonly string[] | null): number;
  dropLetters(queue: string, ids: readonly string[] | null): number;
  /** Everything of the session has ended, and is safe. */
  close(): void;
}

export type DeliveryName = readonly [consumer: number, delivery: number];

export interface PackedLetter extends LetterDetails {
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly at: number;
}
