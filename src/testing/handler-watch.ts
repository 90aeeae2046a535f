import type { DeliveryContext, HandlerFunction } from '../flow/handler.js';
import type { Message } from '../model/message.js';

/** A handler call that runs. */
export interface RunningCall {
  readonly message: Message;
  readonly queue: string | undefined;
}

/** Sees what the handlers of one master do, and lets none begin while the master is frozen. */
export class HandlerWatch {
  readonly #running = new Set<RunningCall>();
  readonly #returned: (message: Message, delivery: DeliveryContext) => void;
  #thawed: Promise<void> | undefined;
  #release = () => {};

  /** `returned` is told of calls that ended well. */
  constructor(returned: (message: Message, delivery: DeliveryContext) => void) {
    this.#returned = returned;
  }

  get running(): readonly RunningCall[] {
    return [...this.#running];
  }

  freeze(): void {
    this.#thawed ??= new Promise((resolve) => (this.#release = resolve));
  }

  thaw(): void {
    this.#thawed = undefined;
    this.#release();
  }

  /** The same handler, watched. An actor says by settling when it has done its work: it is left as it is. */
  over(handler: unknown): unknown {
    if (typeof handler !== 'function') return handler;
    const call = handler as HandlerFunction;
    return (message: Message, delivery: DeliveryContext): unknown =>
      this.#thawed
        ? this.#thawed.then(() => this.#call(call, message, delivery))
        : this.#call(call, message, delivery);
  }

  #call(handler: HandlerFunction, message: Message, delivery: DeliveryContext): unknown {
    const call = { message, queue: delivery.queue };
    this.#running.add(call);
    const end = () => void this.#running.delete(call);
    try {
      const result = handler(message, delivery);
      if (!(result instanceof Promise)) {
        end();
        this.#returned(message, delivery);
        return result;
      }
      result
        .then(
          () => this.#returned(message, delivery),
          () => {},
        )
        .finally(end);
      return result;
    } catch (thrown) {
      end();
      throw thrown;
    }
  }
}
