import type { Clock } from '../model/clock.js';
import { DeadlineError, OutboxFullError, StoppedError } from '../model/errors.js';
import type { Receipt } from '../model/receipt.js';
import { Turnstile } from './turnstile.js';

/** A publish before its data is known to be valid. */
export interface Candidate {
  /** What its schema says: rejects if the data is invalid. */
  readonly verdict: Promise<unknown> | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Publishes it, within what is left of its time. */
  readonly send: (timeoutMs: number) => Promise<Receipt>;
  /** What its publisher is told at its deadline. Nothing was sent. */
  readonly overdue: (cause: Error) => Error;
}

/**
 * Publishes of which a schema answers later. They keep their place: what is published after them is sent after them. Each
 * ends at its deadline, and then holds nobody up.
 */
export class Admission {
  readonly #clock: Clock;
  readonly #waitingMax: number;
  readonly #turnstile = new Turnstile();
  readonly #pending = new Set<(reason: unknown) => void>();
  #stopped = false;

  constructor(options: { clock: Clock; waitingMax: number }) {
    this.#clock = options.clock;
    this.#waitingMax = options.waitingMax;
  }

  /** Whether a publish has to wait for those before it. */
  get isWaiting(): boolean {
    return this.#turnstile.isTaken;
  }

  admit(candidate: Candidate): Promise<Receipt> {
    const { timeoutMs, signal, verdict } = candidate;
    const began = this.#clock.now();
    verdict?.catch(() => {});
    if (this.#stopped) return Promise.reject(new StoppedError('The master has stopped: nothing was sent.'));
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    if (this.#pending.size >= this.#waitingMax)
      return Promise.reject(
        new OutboxFullError(`${this.#pending.size} publishes wait for their schemas; nothing was sent.`),
      );
    return new Promise((resolve, reject) => {
      let leave = () => {};
      const left = new Promise<void>((done) => (leave = done));
      const end = () => {
        this.#clock.clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#pending.delete(giveUp);
        leave();
      };
      const giveUp = (reason: unknown) => {
        end();
        reject(reason);
      };
      const abort = () => giveUp(signal!.reason);
      const overdue = () => {
        const whose = verdict ? 'Its schema' : 'The schema of a message before it';
        giveUp(candidate.overdue(new DeadlineError(`${whose} had not answered after ${timeoutMs} ms.`)));
      };
      const timer = this.#clock.setTimeout(overdue, timeoutMs);
      signal?.addEventListener('abort', abort, { once: true });
      this.#pending.add(giveUp);
      const send = () => {
        if (!this.#pending.has(giveUp)) return;
        end();
        const leftMs = Math.max(1, Math.ceil(timeoutMs - (this.#clock.now() - began)));
        candidate.send(leftMs).then(resolve, reject);
      };
      this.#turnstile.pass(() => {
        if (!this.#pending.has(giveUp)) return undefined;
        if (verdict) return Promise.race([verdict.then(send), left]).catch(giveUp);
        send();
        return undefined;
      });
    });
  }

  /** What waits is rejected, and nothing is sent any more. */
  close(): void {
    this.#stopped = true;
    for (const giveUp of [...this.#pending])
      giveUp(new StoppedError('The master stopped before the data was validated: nothing was sent.'));
  }
}
