import type { Ownership } from '../backend.js';
import { brokerError } from '../model/secrets.js';
import type { Outgoing } from './outgoing.js';

export interface LapsedPorts {
  /** Its ownership is valid again. */
  valid(message: Outgoing): void;
  /** Its ownership has ended. */
  ended(message: Outgoing, reason: Error): void;
}

/** What is published under an ownership that has lapsed, or has ended: asking tells. */
export class Lapsed {
  readonly #ports: LapsedPorts;
  #size = 0;

  constructor(ports: LapsedPorts) {
    this.#ports = ports;
  }

  get size(): number {
    return this.#size;
  }

  add(message: Outgoing, fence: Ownership): void {
    message.state = 'lapsed';
    this.#size++;
    revalidate(fence).then(
      () => {
        if (message.state !== 'lapsed') return;
        this.remove(message);
        this.#ports.valid(message);
      },
      (thrown: unknown) => {
        if (message.state === 'lapsed') this.#ports.ended(message, brokerError(thrown));
      },
    );
  }

  /** It may be sent now, or has come to its end. */
  remove(message: Outgoing): void {
    message.state = 'waiting';
    this.#size--;
  }
}

/** An ownership that throws where it should reject has rejected. */
async function revalidate(fence: Ownership): Promise<void> {
  await fence.revalidate();
}
