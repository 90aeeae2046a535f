import type { Environment, Timer } from '../../model/clock.js';
import type { StreamConsumers } from './consumers.js';
import type { LeaseHolder } from './lease-holder.js';
import type { Segment } from './lease.js';

export interface RetiringPorts {
  readonly lease: LeaseHolder;
  readonly events: StreamConsumers;
  readonly environment: Environment;
  /** A segment has gone from the lease. */
  readonly changed: () => void;
}

const LOOK_MS = 1_000;

/** The keeper of a shared queue takes away the consumers of former bindings, once all that they had is settled. */
export class Retiring {
  readonly #ports: RetiringPorts;
  #timer: Timer | undefined;
  #isOn = true;

  constructor(ports: RetiringPorts) {
    this.#ports = ports;
    this.#later();
  }

  stop(): void {
    this.#isOn = false;
    this.#ports.environment.clock.clearTimeout(this.#timer);
  }

  #later(): void {
    if (!this.#isOn) return;
    this.#timer = this.#ports.environment.clock.setTimeout(() => {
      void this.#look()
        .catch(() => {})
        .then(() => this.#later());
    }, LOOK_MS);
  }

  async #look(): Promise<void> {
    const { lease, events, changed } = this.#ports;
    for (const segment of lease.lease.segments) {
      if (segment.until === undefined || !(await this.#isDone(segment, segment.until))) continue;
      const segments = lease.lease.segments.filter(({ consumer }) => consumer !== segment.consumer);
      await lease.change({ segments });
      await events.delete(segment.consumer);
      changed();
    }
  }

  async #isDone({ consumer }: Segment, until: number): Promise<boolean> {
    const info = await this.#ports.events.info(consumer);
    if (!info) return true;
    return info.ack_floor.stream_seq >= until || (info.num_pending === 0 && info.num_ack_pending === 0);
  }
}
