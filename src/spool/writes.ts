import type { Key } from './databases.js';

/** What happens to one place: bytes are put there, or what is there goes. */
export interface Change {
  readonly key: Key;
  bytes: Uint8Array | undefined;
  /** Who waits for it. */
  readonly settle: { resolve: () => void; reject: (error: unknown) => void }[];
}

/** Changes that are written together: of several of one place the last. */
export class Writes {
  readonly #changes = new Map<string, Change>();
  /** Somebody waits for it. */
  isAwaited = false;
  bytes = 0;

  get isEmpty(): boolean {
    return this.#changes.size === 0;
  }

  get all(): Iterable<Change> {
    return this.#changes.values();
  }

  put(key: Key, bytes: Uint8Array): Promise<void> {
    this.isAwaited = true;
    const change = this.#change(key);
    this.bytes += bytes.length - (change.bytes?.length ?? 0);
    change.bytes = bytes;
    return new Promise((resolve, reject) => change.settle.push({ resolve, reject }));
  }

  remove(key: Key): void {
    const change = this.#change(key);
    this.bytes -= change.bytes?.length ?? 0;
    change.bytes = undefined;
  }

  at(key: Key): Change | undefined {
    return this.#changes.get(nameOf(key));
  }

  /** The first place where something is put. */
  get firstPut(): Key | undefined {
    let first: Key | undefined;
    for (const { key, bytes } of this.#changes.values())
      if (bytes && (!first || compareKeys(key, first) < 0)) first = key;
    return first;
  }

  #change(key: Key): Change {
    const name = nameOf(key);
    let change = this.#changes.get(name);
    if (!change) this.#changes.set(name, (change = { key, bytes: undefined, settle: [] }));
    return change;
  }
}

export function compareKeys(one: Key, other: Key): number {
  return one[0] - other[0] || one[1] - other[1];
}

function nameOf([generation, sequence]: Key): string {
  return `${generation}/${sequence}`;
}
