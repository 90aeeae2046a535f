import { types as is } from 'node:util';
import { PayloadError, PayloadTooLargeError, SignalboxError } from './errors.js';
import { BIGINT_LIMIT, setOwn } from './rich-types.js';
import { DEPTH_MAX } from './types-header.js';

const NO_STEPS: never[] = [];

// The copier counts each value with at most this many times the bytes that it takes as JSON.
const OVERESTIMATE = 8;

export function tooLarge(bytes: string, maxBytes: number): PayloadTooLargeError {
  return new PayloadTooLargeError(
    `The data takes ${bytes} bytes as JSON, maxMessageBytes allows ${maxBytes}. Publish where it can be found instead.`,
  );
}

/** Copies data by hand, which takes a fraction of the time of JSON or structuredClone. */
export class Copier {
  /** At least the size of the copy as JSON. */
  bytes = 0;
  /** Whether something in it takes a types header. */
  rich = false;
  /** The containers around the value at hand, by depth, and the keys that lead to them; none while data is flat. */
  #containers: unknown[] = NO_STEPS;
  #keys: (string | number)[] = NO_STEPS;

  constructor(
    readonly data: unknown,
    readonly maxBytes: number,
  ) {}

  copy(): unknown {
    try {
      return this.#copy(this.data, 0, '');
    } catch (error) {
      if (error instanceof SignalboxError) throw error;
      throw new PayloadError('Something inside the data threw when it was read.', { cause: error });
    }
  }

  #copy(value: unknown, depth: number, key: string | number): unknown {
    switch (typeof value) {
      case 'string':
        this.bytes += 6 * value.length + 3;
        return value;
      case 'number':
        this.bytes += (value | 0) === value ? 12 : 25;
        if (value === 0 ? Object.is(value, -0) : !Number.isFinite(value)) this.rich = true;
        return value;
      case 'boolean':
        this.bytes += 6;
        return value;
      case 'undefined':
        this.bytes += 5;
        this.rich = true;
        return value;
      case 'bigint':
        this.rich = true;
        if (value <= -BIGINT_LIMIT || value >= BIGINT_LIMIT)
          throw this.#refusal(depth, key, 'has too many digits');
        this.bytes += String(value).length + 3;
        return value;
      case 'object':
        if (value !== null) return this.#copyObject(value, depth, key);
        this.bytes += 5;
        return value;
      default:
        throw this.#refusal(depth, key, `is a ${typeof value}; a message holds data only`);
    }
  }

  #copyObject(source: object, depth: number, key: string | number): unknown {
    if (depth >= DEPTH_MAX) throw this.#tooDeep(source, depth, key);
    this.#count(3);
    if (depth > 0) this.#enter(source, depth, key);
    if (Array.isArray(source)) return this.#copyArray(source, depth);
    const prototype: unknown = Object.getPrototypeOf(source);
    if (prototype === Object.prototype || prototype === null) return this.#copyRecord(source, depth);
    return this.#copyInstance(source, depth, key);
  }

  #copyRecord(source: object, depth: number): unknown {
    const copy: Record<string, unknown> = {};
    // Without the list of keys that Object.keys would make.
    for (const key in source) {
      if (!Object.hasOwn(source, key)) continue;
      const value = this.#read(source, key, depth);
      if (key === 'toJSON' && typeof value === 'function') return this.#copyJson(source, depth);
      this.bytes += 6 * key.length + 3;
      setOwn(copy, key, this.#copy(value, depth + 1, key));
    }
    return Object.freeze(copy);
  }

  #copyArray(source: readonly unknown[], depth: number): unknown {
    this.#atLeast(2 * source.length);
    const copy = new Array<unknown>(source.length);
    for (let index = 0; index < copy.length; index += 1) {
      copy[index] = this.#copy(this.#read(source, index, depth), depth + 1, index);
    }
    return Object.freeze(copy);
  }

  #copyInstance(source: object, depth: number, key: string | number): unknown {
    if (is.isDate(source)) {
      this.rich = true;
      this.bytes += 27;
      return new Date(Date.prototype.getTime.call(source));
    }
    if (is.isUint8Array(source)) {
      this.rich = true;
      const size = 4 * Math.ceil(source.length / 3);
      this.#atLeast(size);
      this.bytes += size;
      return new Uint8Array(source);
    }
    if (is.isSet(source)) {
      this.rich = true;
      const copy = new Set<unknown>();
      for (const item of source) copy.add(this.#copyItem(item, depth + 1, copy.size));
      return copy;
    }
    if (is.isMap(source)) return this.#copyMap(source, depth, key);
    // An object of another realm: of a vm context, or of the tests of a runner that uses them.
    const prototype = Object.getPrototypeOf(source) as object;
    if (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')) {
      return this.#copyRecord(source, depth);
    }
    if (typeof this.#read(source, 'toJSON', depth) === 'function') return this.#copyJson(source, depth);
    const name: unknown = this.#read(source, 'constructor', depth);
    const what = typeof name === 'function' && name.name !== '' ? `of class ${name.name}` : 'of a class';
    throw this.#refusal(depth, key, `is ${what} without toJSON(); give it one, or publish plain data`);
  }

  #copyMap(source: ReadonlyMap<unknown, unknown>, depth: number, key: string | number): unknown {
    this.rich = true;
    // An entry is an array of its own in the JSON.
    if (depth + 1 >= DEPTH_MAX) throw this.#tooDeep(source, depth, key);
    const copy = new Map<unknown, unknown>();
    for (const [itemKey, item] of source) {
      this.#enter([], depth + 1, copy.size);
      copy.set(this.#copyItem(itemKey, depth + 2, 0), this.#copyItem(item, depth + 2, 1));
    }
    return copy;
  }

  #copyItem(item: unknown, depth: number, index: number): unknown {
    this.#count(2);
    return this.#copy(item, depth, index);
  }

  #copyJson(source: object, depth: number): unknown {
    let json: unknown;
    try {
      json = (source as { toJSON(key: string): unknown }).toJSON(String(this.#keys[depth] ?? ''));
    } catch (cause) {
      throw this.#refusal(depth + 1, 'toJSON()', 'threw', cause);
    }
    return this.#copy(json, depth + 1, 'toJSON()');
  }

  #enter(container: object, depth: number, key: string | number): void {
    if (this.#keys === NO_STEPS) {
      this.#containers = [this.data];
      this.#keys = [''];
    }
    this.#containers[depth] = container;
    this.#keys[depth] = key;
  }

  #read(source: object, key: string | number, depth: number): unknown {
    try {
      return (source as Record<string | number, unknown>)[key];
    } catch (cause) {
      throw this.#refusal(depth + 1, key, 'threw when it was read', cause);
    }
  }

  /** Without a limit on the way, shared references could make a copy of astronomical size. */
  #count(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes > OVERESTIMATE * this.maxBytes)
      throw tooLarge(`more than ${this.maxBytes}`, this.maxBytes);
  }

  #atLeast(bytes: number): void {
    if (bytes > this.maxBytes) throw tooLarge(`at least ${bytes}`, this.maxBytes);
  }

  #tooDeep(source: object, depth: number, key: string | number): PayloadError {
    const containers = this.#containers.slice(0, depth);
    const loop = [...containers, source].findIndex((container, at, all) => all.indexOf(container) < at);
    if (loop === -1) return this.#refusal(depth, key, `is nested deeper than ${DEPTH_MAX} levels`);
    return this.#refusal(loop, loop === depth ? key : this.#keys[loop]!, 'contains itself');
  }

  #refusal(depth: number, key: string | number, what: string, cause?: unknown): PayloadError {
    const path = depth === 0 ? 'data' : pathOf([...this.#keys.slice(1, depth), key]);
    return new PayloadError(`${path} ${what}.`, cause === undefined ? undefined : { cause });
  }
}

/** `data.builds[3].owner`, cut in the middle when it is long. */
function pathOf(keys: readonly (string | number)[]): string {
  const path = keys
    .map((key) => {
      if (typeof key === 'number') return `[${key}]`;
      return /^[A-Za-z_$][\w$]*(?:\(\))?$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    })
    .join('');
  return `data${path.length <= 200 ? path : `${path.slice(0, 100)}…${path.slice(-100)}`}`;
}
