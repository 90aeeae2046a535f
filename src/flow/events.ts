/** Listeners by name. One that throws harms nobody: what it throws is its own loss. */
export class Events<Map extends object> {
  readonly #listeners = new globalThis.Map<keyof Map, Set<(event: never) => void>>();

  /** Returns a function that ends it. */
  on<Name extends keyof Map>(name: Name, listener: (event: Map[Name]) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  emit<Name extends keyof Map>(name: Name, event: Map[Name]): void {
    const listeners = this.#listeners.get(name);
    if (!listeners) return;
    for (const listener of [...listeners] as ((event: Map[Name]) => unknown)[]) {
      try {
        const result = listener(event);
        if (result instanceof Promise) result.catch(() => {});
      } catch {
        // A listener watches; it has no say in what happens.
      }
    }
  }
}
