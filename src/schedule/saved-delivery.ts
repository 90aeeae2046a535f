import type { Delivery } from '../backend.js';

/** A delivery that is acked by a save. */
export class SavedDelivery implements Delivery {
  constructor(
    readonly inner: Delivery,
    readonly onBegin: () => void,
    readonly ack: () => void,
  ) {}

  get envelope() {
    return this.inner.envelope;
  }

  get redelivered() {
    return this.inner.redelivered;
  }

  get attempt() {
    return this.inner.attempt;
  }

  get redrives() {
    return this.inner.redrives;
  }

  begin(attempt: number): Promise<void> | undefined {
    this.onBegin();
    return this.inner.begin(attempt);
  }

  cutOff(): void {
    this.inner.cutOff();
  }

  reject(letter: Parameters<Delivery['reject']>[0]): Promise<void> {
    return this.inner.reject(letter);
  }
}

/** The name of an input that is a message: another one after each redrive. */
export function inputId({ envelope, redrives }: Delivery): string {
  // No id of ours has a slash behind its number.
  return redrives === 0 ? envelope.id : `${envelope.id}/${redrives}`;
}
