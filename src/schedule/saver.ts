import type { Delivery, Ownership } from '../backend.js';
import type { Fence } from '../flow/fence.js';
import type { Clock, Timer } from '../model/clock.js';
import {
  CheckpointTooLargeError,
  FencedError,
  SessionLostError,
  isRetryable,
  toError,
} from '../model/errors.js';
import { encodeSchedule, type Version } from './checkpoint.js';
import type { Emitter } from './emitter.js';
import type { Pauses } from './pauses.js';
import type { Schedule } from './schedule.js';

/** RabbitMQ 4 refuses messages from 16 MiB, the hub none. A broker that takes less refuses the save with the same error. */
const CHECKPOINT_MAX_BYTES = 16_000_000;
/** So long after the last emission was confirmed, a save says so if nothing else has to be saved. */
const TRAILING_MS = 100;
const AGAIN_MS = 500;

export interface SaverPorts {
  readonly queue: string;
  readonly schedule: Schedule;
  readonly version: Version;
  readonly ownership: Ownership;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly emitter: Emitter;
  readonly pauses: Pauses;
  /** A save is proven: what it holds may have effects. */
  readonly proven: () => void;
  /** Nothing can be saved any more. */
  readonly failed: (error: Error) => void;
}

/**
 * The cycle of a scheduler: save what was applied, with its acks; once that is proven, publish what it has emitted; the next
 * save forgets that. What is applied meanwhile shares the next save.
 */
export class Saver {
  readonly #ports: SaverPorts;
  #settled: Delivery[] = [];
  #savedVersion = -1;
  /** The last save holds emissions that are confirmed by now. */
  #isStale = false;
  #cycle: Promise<void> | undefined;
  #trailing: Timer | undefined;
  #hasEnded = false;

  constructor(ports: SaverPorts) {
    this.#ports = ports;
  }

  /** What the last proven save holds. */
  saved: Uint8Array | undefined;

  /** The state is as a successor would find it: then it needs no save before it may have effects. */
  beginAsSaved(): void {
    this.#savedVersion = this.#ports.schedule.version;
    this.#ports.proven();
    if (this.#isDirty) this.changed();
  }

  /** Resolves when no save is under way. */
  async idle(): Promise<void> {
    await this.#cycle;
  }

  /** It is in the state: acked with the next save. */
  settle(delivery: Delivery): void {
    this.#settled.push(delivery);
    this.changed();
  }

  /** There may be something to save. */
  changed(): void {
    if (!this.#hasEnded) this.#cycle ??= this.#run();
  }

  /** Resolves when all is saved and published, and the last save says so; or when nothing can be saved any more. */
  async flush(): Promise<void> {
    while (!this.#hasEnded && (this.#isDirty || this.#isStale || this.#cycle))
      await (this.#cycle ??= this.#run());
  }

  end(): void {
    this.#hasEnded = true;
    this.#ports.clock.clearTimeout(this.#trailing);
  }

  get #isDirty(): boolean {
    return this.#settled.length > 0 || this.#ports.schedule.version !== this.#savedVersion;
  }

  async #run(): Promise<void> {
    // What else this turn of the event loop brings shares the save.
    await new Promise(setImmediate);
    this.#ports.clock.clearTimeout(this.#trailing);
    try {
      do await this.#round();
      while (!this.#hasEnded && this.#isDirty);
    } catch (thrown) {
      this.#failed(toError(thrown));
    }
    this.#cycle = undefined;
    if (this.#isStale && !this.#hasEnded)
      this.#trailing = this.#ports.clock.setTimeout(() => this.changed(), TRAILING_MS);
  }

  async #round(): Promise<void> {
    if (this.#hasEnded) return;
    const { schedule, clock, ownership, emitter } = this.#ports;
    const { emissions, emissionNumbers, version } = schedule;
    const settled = this.#settled.splice(0);
    const saved = [...emissions];
    const closedTo = (saved[0]?.number ?? emissionNumbers.last + 1) - 1;
    const bytes = encodeSchedule(schedule, this.#ports.version, clock.wall());
    if (bytes.byteLength > CHECKPOINT_MAX_BYTES) throw this.#tooLarge(bytes.byteLength);
    await this.#save(ownership, bytes, settled);
    this.saved = bytes;
    if (this.#hasEnded) return;
    this.#savedVersion = version;
    this.#isStale = false;
    emissionNumbers.closed(closedTo);
    this.#ports.proven();
    if (saved.length === 0 || !(await emitter.publish(saved)) || this.#hasEnded) return;
    schedule.published(saved.at(-1)!.number);
    this.#isStale = true;
  }

  /** Again and again while the broker refuses it for now: nothing is acked or published on what is not saved. */
  async #save(ownership: Ownership, bytes: Uint8Array, settled: readonly Delivery[]): Promise<void> {
    while (!this.#hasEnded)
      try {
        await new Promise<void>((resolve, reject) =>
          this.#ports.fence.say(() => void ownership.save(bytes, settled).then(resolve, reject)),
        );
        return;
      } catch (thrown) {
        if (thrown instanceof SessionLostError || thrown instanceof FencedError || !isRetryable(thrown))
          throw thrown;
        await this.#ports.pauses.wait(AGAIN_MS);
      }
  }

  #failed(error: Error): void {
    if (this.#hasEnded) return;
    this.end();
    // The end of a session or an ownership is told elsewhere.
    if (!(error instanceof SessionLostError) && !(error instanceof FencedError)) this.#ports.failed(error);
  }

  #tooLarge(bytes: number): CheckpointTooLargeError {
    return new CheckpointTooLargeError(
      `The state of scheduler "${this.#ports.queue}" takes ${bytes} bytes, more than ${CHECKPOINT_MAX_BYTES}; it stays as it was saved last. ` +
        'Keep less in the context of its machine, or publish it.',
    );
  }
}
