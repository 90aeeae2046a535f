import type { DeliveryContext, Receipt } from 'signalbox';
import type { ConfirmedRecord, HandledRecord, LedgerRecord } from '../../src/testing/ledger.js';
import type { Repository } from './history.js';
import type { Processes } from './processes.js';

/** What a role knows of the farm. */
export interface Farm {
  readonly repository: Repository;
  /** `{commit}` stands for the commit. */
  readonly command: readonly string[];
  /** Builds that one master runs at a time. */
  readonly concurrency: number;
  readonly processes: Processes;
  report(record: FarmRecord): void;
}

/** Plain data: a line of JSON, where roles run in other processes. */
export type FarmRecord =
  | LedgerRecord
  /** The statechart of that scheduler has taken in a message here. */
  | { readonly type: 'applied'; readonly master: string; readonly queue: string; readonly epoch: number }
  /** The command of a build runs, or has ended. */
  | { readonly type: 'runs' | 'ran'; readonly master: string; readonly build: string }
  | { readonly type: 'built'; readonly master: string; readonly build: string; readonly lines: number }
  | { readonly type: 'following'; readonly build: string }
  /** `missing` lines came out of order or not at all between the first and the last that were seen. */
  | {
      readonly type: 'followed';
      readonly build: string;
      readonly lines: number;
      readonly missing: number;
    }
  | {
      readonly type: 'owner';
      readonly master: string;
      readonly queue: string;
      readonly epoch: number;
      readonly status: string;
    }
  /** It stops, or has gone. */
  | { readonly type: 'leaves'; readonly master: string }
  | { readonly type: 'trouble'; readonly master: string; readonly text: string };

/** A message that these durable queues must have. */
export function confirmed(
  topic: readonly string[],
  { id }: Receipt,
  queues: readonly string[],
): ConfirmedRecord {
  const { producer, sequence } = originOf(id);
  return { type: 'confirmed', id, topic: topic.join('.'), producer, sequence, queues };
}

/** Of the message of that id the handler of this delivery has done what there is to do. */
export function handled(
  id: string,
  { queue, master, epoch, attempt, redelivered }: DeliveryContext,
): HandledRecord {
  return { type: 'handled', queue: queue!, id, master, epoch, attempt, redelivered, resent: false };
}

/** An id is `<producer>-<sequence>`. */
export function originOf(id: string): { readonly producer: string; readonly sequence: number } {
  const dash = id.lastIndexOf('-');
  return { producer: id.slice(0, dash), sequence: Number(id.slice(dash + 1)) };
}
