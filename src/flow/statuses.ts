import type { Clock } from '../model/clock.js';
import { DeadlineError, StoppedError } from '../model/errors.js';

export interface UntilOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 30_000;

/** A status that can be waited for. A final one never changes. */
export class Statuses<Status extends string> {
  #status: Status;
  readonly #finals: readonly Status[];
  readonly #clock: Clock;
  readonly #watchers = new Set<() => void>();

  constructor(first: Status, finals: readonly Status[], clock: Clock) {
    this.#status = first;
    this.#finals = finals;
    this.#clock = clock;
  }

  get status(): Status {
    return this.#status;
  }

  get isFinal(): boolean {
    return this.#finals.includes(this.#status);
  }

  set(status: Status): void {
    if (this.isFinal) return;
    this.#status = status;
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** `cause` says why a final status was reached. */
  until(
    wanted: readonly Status[],
    what: string,
    { timeoutMs = TIMEOUT_MS, signal }: UntilOptions,
    cause: () => Error | undefined,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        this.#watchers.delete(look);
        this.#clock.clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        settle();
      };
      const abort = () => end(() => reject(signal!.reason as Error));
      const overdue = () => {
        const text = `${what} was not ${wanted.join(' or ')} within ${timeoutMs} ms; it is ${this.#status}.`;
        end(() => reject(new DeadlineError(text)));
      };
      const look = () => {
        if (wanted.includes(this.#status)) end(resolve);
        else if (this.isFinal)
          end(() => reject(cause() ?? new StoppedError(`${what} has ended: it is ${this.#status}.`)));
      };
      const timer = this.#clock.setTimeout(overdue, timeoutMs);
      if (signal?.aborted) return abort();
      signal?.addEventListener('abort', abort, { once: true });
      this.#watchers.add(look);
      look();
    });
  }
}
