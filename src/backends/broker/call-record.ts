import { TurnoverMap } from '../../model/turnover-map.js';

/** Calls of one unsettled message: by whatever tells it from others in its queue. */
export type BegunCalls = readonly (readonly [key: string, attempts: number])[];

/** What a former owner has left in the record of the queue. */
export interface FormerCalls {
  readonly begun: BegunCalls;
  /** It handed over properly: only what `begun` names had begun. */
  readonly isClean: boolean;
}

/** What is known of the calls of one message. */
export interface Calls {
  /** Those known to have begun, over all masters. */
  readonly attempts: number;
  /** A handler may have been called with it before. */
  readonly isFlagged: boolean;
}

/** So many go into a record: a queue whose messages all kill their process has no more of them than its prefetch. */
const KEPT_MAX = 2_000;

/**
 * What an owner knows of the calls of messages that are not settled. The broker flags whatever it has delivered before;
 * whether a handler was called only the owner knows, and its successor by the record.
 */
export class CallRecord {
  readonly #known = new TurnoverMap<string, Calls>();
  readonly #wasClean: boolean;

  /** As the former owner left it. */
  constructor(found: FormerCalls | undefined) {
    this.#wasClean = found?.isClean ?? false;
    for (const [key, attempts] of found?.begun ?? []) this.#known.set(key, { attempts, isFlagged: true });
  }

  /** Of a message that is handed over. */
  of(key: string, flaggedByBroker: boolean): Calls {
    return this.#known.get(key) ?? { attempts: 0, isFlagged: flaggedByBroker && !this.#wasClean };
  }

  begun(key: string, attempts: number): void {
    this.#known.set(key, { attempts, isFlagged: true });
  }

  cutOff(key: string): void {
    const calls = this.#known.get(key);
    if (calls) this.#known.set(key, { ...calls, attempts: Math.max(0, calls.attempts - 1) });
  }

  settled(key: string): void {
    this.#known.delete(key);
  }

  /** It goes back as it came: the broker will flag it, and we know better. */
  givenBack(key: string, calls: Calls): void {
    if (!this.#known.get(key)) this.#known.set(key, calls);
  }

  /** What the record says of them. */
  kept(): BegunCalls {
    const kept: [string, number][] = [];
    for (const [key, { attempts, isFlagged }] of this.#known.entries())
      if (isFlagged) kept.push([key, attempts]);
    return kept.slice(-KEPT_MAX);
  }
}
