import type { Delivery, LetterDetails, Ownership } from '../backend.js';
import type { Catalogue } from '../model/catalogue.js';
import type { Environment } from '../model/clock.js';
import type { DuplicateFilter } from '../model/duplicates.js';
import type { Message } from '../model/message.js';
import type { SeenEpochs } from '../model/seen-epochs.js';
import type { RetryPolicy } from '../model/settlement.js';
import type { Publish } from './handler.js';
import type { Setbacks } from './setbacks.js';
import type { Tally } from './tally.js';
import type { Turns } from './turns.js';

/*
 * What surrounds the pump of a durable consumer.
 */

export interface PumpSettings {
  readonly queue: string;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly onFailure: 'block' | 'pass';
  readonly orderBy: ((message: Message) => string | undefined) | undefined;
  readonly retry: RetryPolicy;
  readonly handlerTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly producerMemoryMs: number;
}

export interface PumpPorts {
  readonly environment: Environment;
  readonly turns: Turns;
  readonly tally: Tally;
  readonly master: string;
  /** Publishes under the ownership's fence. */
  readonly publish: (ownership: Ownership | undefined) => Publish;
  /** Checks what the handler gets. */
  readonly catalogue: Catalogue | undefined;
}

/** What is remembered of messages that came before. */
export interface HoldMemory {
  readonly duplicates: DuplicateFilter;
  readonly epochs: SeenEpochs;
  readonly setbacks: Setbacks;
}

/** What a pump tells. */
export interface PumpReports {
  failed(delivery: Delivery, attempt: number, error: Error): void;
  buried(delivery: Delivery, letter: LetterDetails): void;
  /** The broker does not take a dead letter for now, and is asked again. */
  refused(delivery: Delivery, error: Error): void;
  /** A handler still runs `drainTimeoutMs` after its deadline. */
  stuck(delivery: Delivery): void;
  /** A former owner's message was acked unread: the broker did not refuse it. */
  former(delivery: Delivery): void;
  /** No more deliveries will come though the session lives. */
  lost(reason: Error): void;
}
