import type { Connection } from './connection.js';

/** Whether the broker takes publishes: for want of memory or disk it stops every connection that has published. */
export class Alarm {
  #isRaised = false;
  #waiting: (() => void)[] = [];

  constructor(
    connection: Connection,
    sink: { readonly blocked: (reason: string) => void; readonly unblocked: () => void },
  ) {
    connection.onBlocked(
      (reason) => {
        this.#isRaised = true;
        for (const tell of this.#waiting.splice(0)) tell();
        sink.blocked(reason);
      },
      () => {
        this.#isRaised = false;
        sink.unblocked();
      },
    );
  }

  get isRaised(): boolean {
    return this.#isRaised;
  }

  /** Resolves when it is raised the next time. */
  raised(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
