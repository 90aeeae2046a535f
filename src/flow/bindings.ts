import type { Session, TransientQueue, TransientSink } from '../backend.js';

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
    let binding = this.#bindings.get(pattern);
    if (!binding) this.#bindings.set(pattern, (binding = { users: 0, done: Promise.resolve() }));
    if (binding.users++ === 0)
      binding.done = this.#after(binding, async () => (await (this.#queue ??= this.#listen())).bind(pattern));
    return binding.done;
  }

  /** Resolves once the broker holds nothing more of it, unless others use it. */
  async remove(pattern: string): Promise<void> {
    const binding = this.#bindings.get(pattern);
    if (!binding || --binding.users > 0) return;
    binding.done = this.#after(binding, async () => (await this.#queue)?.unbind(pattern));
    await binding.done.catch(() => {});
    if (binding.users === 0 && this.#bindings.get(pattern) === binding) this.#bindings.delete(pattern);
  }

  async #after(binding: Binding, step: () => Promise<void>): Promise<void> {
    await binding.done.catch(() => {});
    await step();
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
