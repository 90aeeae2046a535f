import { TopicIndex } from './topic-index.js';

/** So many topics and values are remembered before all are forgotten: one topic may match very many values. */
const REMEMBERED_MAX = 20_000;

/**
 * Who wants a topic. It gives what a TopicIndex gives, and remembers it: topics repeat from message to message, and who
 * wants them changes seldom.
 */
export class Routes<T> {
  readonly #index = new TopicIndex<T>();
  readonly #known = new Map<string, readonly T[]>();
  #remembered = 0;

  /** False if the pair was there. Throws PatternError. */
  add(pattern: string, value: T): boolean {
    const isNew = this.#index.add(pattern, value);
    if (isNew) this.#forget();
    return isNew;
  }

  /** False if the pair was not there. Throws PatternError. */
  remove(pattern: string, value: T): boolean {
    const wasThere = this.#index.remove(pattern, value);
    if (wasThere) this.#forget();
    return wasThere;
  }

  /** The values of all patterns that match, each once. `topic` must be canonical. The list stays as it is for ever. */
  match(topic: string): readonly T[] {
    return this.#known.get(topic) ?? this.#find(topic);
  }

  #find(topic: string): readonly T[] {
    const found = this.#index.match(topic);
    this.#remembered += 1 + found.length;
    if (this.#remembered > REMEMBERED_MAX) {
      this.#forget();
      this.#remembered = 1 + found.length;
    }
    this.#known.set(topic, found);
    return found;
  }

  #forget(): void {
    if (this.#remembered === 0) return;
    this.#known.clear();
    this.#remembered = 0;
  }
}
