import type { Clock, Timer } from '../../model/clock.js';
import { toError } from '../../model/errors.js';
import { Batch } from './batch.js';

/** A batch that nobody waits for waits so long for company... */
const COMPANY_MS = 5;
/** ...but not with so much in it. */
const LAZY_SIZE_MAX = 10_000;

export interface CommitPorts {
  readonly clock: Clock;
  /** Whether there is something to be done by and by, also with a batch that is empty. */
  hasMore(): boolean;
  /** Resolves when it is safe. */
  write(batch: Batch): Promise<void>;
  failed(error: Error): void;
}

/**
 * Gathers writes into batches. One is being written at a time; what comes meanwhile goes with the next. A batch that
 * somebody waits for starts when the turn of the event loop ends, or when the one before is safe; one that nobody waits
 * for has a little time, so that a publish does not find the disk busy with the ack of the one before.
 */
export class GroupCommit {
  gathered = new Batch(1);
  inFlight: Batch | undefined;
  safeBatch = 0;
  /** Its buffer is free. */
  #safe: Batch | undefined;
  readonly #ports: CommitPorts;
  #lazyTimer: Timer | undefined;
  #soon: NodeJS.Immediate | undefined;
  #isPaused = false;
  #hasEnded = false;

  constructor(ports: CommitPorts) {
    this.#ports = ports;
  }

  get isIdle(): boolean {
    return !this.inFlight && this.gathered.isEmpty;
  }

  /** Called after each change of what is gathered. */
  wake(): void {
    if (this.inFlight || this.#soon || this.#hasEnded) return;
    if (this.#isAwaited) this.#startSoon();
    else this.#lazyTimer ??= this.#ports.clock.setTimeout(() => this.start(), COMPANY_MS);
  }

  afterFlush(callback: () => void): void {
    if (!this.gathered.isEmpty) {
      this.gathered.callbacks.push(callback);
      this.wake();
    } else if (this.inFlight) this.inFlight.callbacks.push(callback);
    else callback();
  }

  /** Writes what is gathered, unless something is being written. */
  start(): void {
    this.#stopWaiting();
    if (this.inFlight || this.#isPaused || this.#hasEnded) return;
    const batch = this.gathered;
    if (batch.isEmpty && !this.#ports.hasMore()) return;
    this.inFlight = batch;
    this.gathered = new Batch(batch.number + 1, this.#safe);
    this.#safe = undefined;
    this.#ports.write(batch).then(
      () => this.#finish(batch),
      (error: unknown) => this.#fail(error),
    );
  }

  /** Resolves when everything gathered so far is safe; never, if that fails. */
  flush(): Promise<void> {
    return new Promise((resolve) => this.afterFlush(resolve));
  }

  /** Does something between two batches. */
  async pause(action: () => Promise<void>): Promise<void> {
    this.#isPaused = true;
    try {
      await new Promise<void>((resolve) => {
        if (this.inFlight) this.inFlight.callbacks.push(resolve);
        else resolve();
      });
      if (!this.#hasEnded) await action();
    } finally {
      this.#isPaused = false;
      if (!this.gathered.isEmpty || this.#ports.hasMore()) this.wake();
    }
  }

  end(): void {
    this.#hasEnded = true;
    this.#stopWaiting();
  }

  get #isAwaited(): boolean {
    return this.gathered.callbacks.length > 0 || this.gathered.size >= LAZY_SIZE_MAX;
  }

  #startSoon(): void {
    this.#stopWaiting();
    this.#soon = setImmediate(() => this.start());
  }

  #stopWaiting(): void {
    this.#ports.clock.clearTimeout(this.#lazyTimer);
    this.#lazyTimer = undefined;
    clearImmediate(this.#soon);
    this.#soon = undefined;
  }

  #finish(batch: Batch): void {
    this.inFlight = undefined;
    this.safeBatch = batch.number;
    this.#safe = batch;
    try {
      for (const callback of batch.callbacks) callback();
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#isAwaited) this.start();
    else if (!this.gathered.isEmpty || this.#ports.hasMore()) this.wake();
  }

  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    this.end();
    this.#ports.failed(toError(error));
  }
}
