/** So many entries go before the map begins anew, and four times as many as it has. */
const TURNOVER_MIN = 512;

/**
 * A Map whose entries come and go with each message. When many entries of a Map have gone, V8 gives it a new table and
 * leaves the way to it in the old one, with what that held. An old table that has outlived two collections of young objects
 * so keeps everything that came after it, until the next collection of all: two thirds of what a consumer had long finished
 * with were copied, and copied again. Hence this one moves now and then to a Map to which no way leads.
 */
export class TurnoverMap<K, V> {
  #map = new Map<K, V>();
  #gone = 0;

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  set(key: K, value: V): void {
    this.#map.set(key, value);
  }

  delete(key: K): boolean {
    if (!this.#map.delete(key)) return false;
    if (++this.#gone >= TURNOVER_MIN && this.#gone >= 4 * this.#map.size) {
      this.#map = new Map(this.#map);
      this.#gone = 0;
    }
    return true;
  }

  entries(): IterableIterator<[K, V]> {
    return this.#map.entries();
  }

  values(): IterableIterator<V> {
    return this.#map.values();
  }

  clear(): void {
    this.#map = new Map();
  }
}
