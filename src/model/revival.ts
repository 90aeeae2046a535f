import { DecodeError } from './errors.js';
import { BASE64, DECIMAL, instantOf, setOwn, type None, type RichType } from './rich-types.js';
import { tagOf } from './type-inference.js';

/** The value as JSON can hold it. */
export function toPlain(value: unknown): unknown {
  switch (tagOf(value)) {
    case 'D':
      return (value as Date).toJSON();
    case 'N':
      return String(value);
    case 'B': {
      const bytes = value as Uint8Array;
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
    }
    case '[':
      return (value as unknown[]).map(toPlain);
    case 'S':
      return Array.from(value as Set<unknown>, toPlain);
    case 'M':
      return Array.from(value as Map<unknown, unknown>, ([key, item]) => [toPlain(key), toPlain(item)]);
    case '{': {
      const plain: Record<string, unknown> = {};
      const record = value as Record<string, unknown>;
      for (const key of Object.keys(record)) setOwn(plain, key, toPlain(record[key]));
      return plain;
    }
    default:
      return value ?? null;
  }
}

/** The rich value that JSON stands for. Neither can be trusted: throws `DecodeError` where they do not fit. */
export function revive(json: unknown, type: RichType): unknown {
  if (json === null && type.none !== '') return reviveNone(type.none);
  switch (type.tag) {
    case '':
      return json;
    case 'Z':
      return json === 0 ? -0 : json;
    case 'D': {
      const time = typeof json === 'string' ? instantOf(json) : NaN;
      return Number.isNaN(time) ? misfit('a date') : new Date(time);
    }
    case 'N':
      return typeof json === 'string' && DECIMAL.test(json) ? BigInt(json) : misfit('a bigint');
    case 'B':
      if (typeof json !== 'string' || json.length % 4 !== 0 || !BASE64.test(json)) return misfit('bytes');
      return new Uint8Array(Buffer.from(json, 'base64'));
    case '{':
      return tagOf(json) === '{'
        ? mapFields(json as Record<string, unknown>, type, revive)
        : misfit('an object');
    case '[':
      return Object.freeze(mapItems(itemsOf(json), type, revive));
    case 'S':
      return new Set(mapItems(itemsOf(json), type, revive));
    case 'M': {
      const pairs = itemsOf(json).map(itemsOf);
      if (pairs.some((pair) => pair.length !== 2)) misfit('a map');
      const column = (index: number) => pairs.map((pair) => pair[index]);
      return mapMap(column(0), column(1), type, revive);
    }
  }
}

/** The same value with everything mutable, and the containers around it, made anew; the rest is shared. */
export function renew(value: unknown, type: RichType): unknown {
  if (value instanceof Date) return new Date(value);
  const tag = tagOf(value);
  if (tag !== type.tag) return value;
  switch (tag) {
    case 'B':
      return (value as Uint8Array).slice();
    case '{':
      return mapFields(value as Record<string, unknown>, type, renew);
    case '[':
      return Object.freeze(mapItems(value as unknown[], type, renew));
    case 'S':
      return new Set(mapItems([...(value as Set<unknown>)], type, renew));
    case 'M': {
      const map = value as Map<unknown, unknown>;
      return mapMap([...map.keys()], [...map.values()], type, renew);
    }
    default:
      return value;
  }
}

type Convert = (value: unknown, type: RichType) => unknown;

// These go through what the value has, never through what the type lists: a long list of optional fields, forged for
// each of many small records, would take quadratic time.
function mapFields(record: Readonly<Record<string, unknown>>, type: RichType, convert: Convert): unknown {
  const copy: Record<string, unknown> = {};
  let required = type.required ?? 0;
  for (const key of Object.keys(record)) {
    const field = type.fields?.get(key);
    if (field?.none === '') required -= 1;
    setOwn(copy, key, field === undefined ? record[key] : convert(record[key], field));
  }
  return required === 0 ? Object.freeze(copy) : misfit('a field');
}

function mapItems(items: readonly unknown[], type: RichType, convert: Convert): unknown[] {
  const { each, fields } = type;
  if (each !== undefined) return items.map((item) => convert(item, each));
  let required = type.required ?? 0;
  const copy = items.map((item, index) => {
    const field = fields?.get(String(index));
    if (field?.none === '') required -= 1;
    return field === undefined ? item : convert(item, field);
  });
  return required === 0 ? copy : misfit('an item');
}

function mapMap(
  keys: readonly unknown[],
  values: readonly unknown[],
  type: RichType,
  convert: Convert,
): unknown {
  const [keysType, valuesType] = [type.fields?.get('k'), type.fields?.get('v')];
  const newKeys = keysType ? mapItems(keys, keysType, convert) : keys;
  const newValues = valuesType ? mapItems(values, valuesType, convert) : values;
  return new Map(newKeys.map((key, index) => [key, newValues[index]]));
}

function reviveNone(none: None): unknown {
  switch (none) {
    case 'u':
      return undefined;
    case 'n':
      return NaN;
    case 'p':
      return Infinity;
    case 'm':
      return -Infinity;
    case 'i':
      return new Date(NaN);
    default:
      return null;
  }
}

function itemsOf(json: unknown): readonly unknown[] {
  return Array.isArray(json) ? json : misfit('an array');
}

function misfit(expected: string): never {
  throw new DecodeError(
    `The types header does not fit the body: where it says ${expected}, the body has none.`,
  );
}
