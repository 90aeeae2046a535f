import type { Session, TransientQueue, TransientSink } from '../backend.js';

const nothing = () => {};

interface Binding {
  users: number;
  /** The last thing asked of the broker about this pattern; each waits for the one before. */
  done: Promise<void>;
}

/** The transient bindings of one session: one at the broker for each distinct pattern, however many use it. */
export class Bindings {
  readonly #bindings = new Map<string, Binding>();
  readonly #sink: TransientSink;
  #queue: Promise<TransientQueue> | undefined;

  constructor(
    readonly session: Session,
    sink: TransientSink,
  ) {
    this.#sink = sink;
  }

  /** Resolves once every message published from now on that matches is received. */
  add(pattern: string): Promise<void> {
    const binding = this.#bindings.get(pattern);
    if (!binding) {
      const done = this.#bind(pattern);
      this.#bindings.set(pattern, { users: 1, done });
      return done;
    }
    if (binding.users++ === 0) binding.done = binding.done.catch(nothing).then(() => this.#bind(pattern));
    return binding.done;
  }

  /** Resolves once the broker holds nothing more of it, unless others use it. */
  async remove(pattern: string): Promise<void> {
    const binding = this.#bindings.get(pattern);
    if (!binding || --binding.users > 0) return;
    await (binding.done = this.#unbind(pattern, binding.done)).catch(nothing);
    if (binding.users === 0 && this.#bindings.get(pattern) === binding) this.#bindings.delete(pattern);
  }

  /** All of them end with their queue. */
  async close(): Promise<void> {
    const listening = this.#queue;
    this.#queue = undefined;
    this.#bindings.clear();
    const queue = await listening?.catch(nothing);
    await queue?.close();
  }

  async #bind(pattern: string): Promise<void> {
    const queue = await (this.#queue ??= this.#listen());
    await queue.bind(pattern);
  }

  async #unbind(pattern: string, before: Promise<void>): Promise<void> {
    await before.catch(nothing);
    const queue = await this.#queue;
    await queue?.unbind(pattern);
  }

  async #listen(): Promise<TransientQueue> {
    try {
      return await this.session.listen(this.#sink);
    } catch (error) {
      // The next one who needs it tries again.
      this.#queue = undefined;
      throw error;
    }
  }
}
