import { DecodeError } from './errors.js';

/**
 * Rich types on the wire. The body is plain JSON that any language reads; a small header says where its text stands
 * for more: a tree of the body's shape that names only the places to revive.
 *
 *     { at: new Date(0), sizes: [1n, 2n], owner: undefined }
 *     body    {"at":"1970-01-01T00:00:00.000Z","sizes":["1","2"],"owner":null}
 *     header  1{at:D,sizes:[*N],owner:u}
 *
 * `1` is the version. A type is a tag (what the text stands for) and a none (what a JSON null stands for), either may
 * be missing. Tags: `D` date, `N` bigint, `B` bytes, `Z` zero is -0, `{key:type,…}` object, `[*type]` every item of an
 * array, `[index:type,…]` some items, `S` set (then `[…]` of its items), `M` map (then `{k:[…],v:[…]}` of its keys and
 * values). Nones: `?` null, `u` undefined, `n` NaN, `p` Infinity, `m` -Infinity, `i` an invalid date. With a none the
 * place may also be missing, so that all items of a list of records share one type. Keys: letters, digits, `_` and
 * `-` as they are, any other UTF-16 unit as `%` and four hex digits.
 */
export interface RichType {
  readonly tag: '' | 'D' | 'N' | 'B' | 'Z' | '{' | '[' | 'S' | 'M';
  readonly none: '' | '?' | 'u' | 'n' | 'p' | 'm' | 'i';
  /** Of an object by key, of an array or set by index, of a map its `k` and `v`. */
  readonly fields?: ReadonlyMap<string, RichType> | undefined;
  /** How many of the fields may not be missing. */
  readonly required?: number;
  /** Of an array or set: every item. */
  readonly each?: RichType | undefined;
}

type Tag = RichType['tag'];
type None = RichType['none'];

// One object for each leaf, so that equal leaves are the same.
const LEAVES = new Map<Tag, Map<None, RichType>>();

function leaf(tag: Tag, none: None): RichType {
  let leaves = LEAVES.get(tag);
  if (leaves === undefined) LEAVES.set(tag, (leaves = new Map<None, RichType>()));
  let type = leaves.get(none);
  if (type === undefined) leaves.set(none, (type = { tag, none }));
  return type;
}

const PLAIN = leaf('', '');
const NULL = leaf('', '?');
const UNDEFINED = leaf('', 'u');
const BIGINT = leaf('N', '');
const NEGATIVE_ZERO = leaf('Z', '');

type Inside = Pick<RichType, 'fields' | 'each'>;

function compound(tag: Tag, none: None, inside: Inside): RichType {
  let required = 0;
  for (const field of inside.fields?.values() ?? []) if (field.none === '') required += 1;
  return { tag, none, fields: inside.fields, required, each: inside.each };
}

const BIGINT_DIGITS_MAX = 10_000;
/** Numbers from here on are refused on both sides: reading them takes more than linear time. */
export const BIGINT_LIMIT = 10n ** BigInt(BIGINT_DIGITS_MAX);

const RFC_3339 = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;
const DECIMAL = new RegExp(`^-?[0-9]{1,${BIGINT_DIGITS_MAX}}$`);
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Unix milliseconds of an RFC 3339 time, NaN if it is none. */
export function instantOf(text: string): number {
  return RFC_3339.test(text) ? Date.parse(text) : NaN;
}

/** Sets an own property whatever its name: assigning to `__proto__` would change the prototype. */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[key] = value;
  }
}

function tagOf(value: unknown): Tag {
  if (typeof value === 'bigint') return 'N';
  if (typeof value !== 'object' || value === null) return '';
  if (Array.isArray(value)) return '[';
  if (value instanceof Date) return 'D';
  if (value instanceof Map) return 'M';
  if (value instanceof Set) return 'S';
  return value instanceof Uint8Array ? 'B' : '{';
}

/** What a JSON null must stand for to give this value; empty for what JSON does not write as null. */
function noneOf(value: unknown): None {
  if (value === undefined) return 'u';
  if (value === null) return '?';
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return '';
    return Number.isNaN(value) ? 'n' : value > 0 ? 'p' : 'm';
  }
  return value instanceof Date && Number.isNaN(value.getTime()) ? 'i' : '';
}

/** The type of a copied value; undefined when JSON alone gives it back. */
export function typeOf(value: unknown): RichType | undefined {
  const type = inspect(value);
  return isPlain(type) ? undefined : type;
}

function isPlain(type: RichType): boolean {
  return type === PLAIN || type === NULL;
}

function inspect(value: unknown): RichType {
  switch (typeof value) {
    case 'number':
      if (value === 0) return Object.is(value, -0) ? NEGATIVE_ZERO : PLAIN;
      return Number.isFinite(value) ? PLAIN : leaf('', noneOf(value));
    case 'undefined':
      return UNDEFINED;
    case 'bigint':
      return BIGINT;
    case 'object':
      return value === null ? NULL : inspectObject(value);
    default:
      return PLAIN;
  }
}

function inspectObject(value: object): RichType {
  const tag = tagOf(value);
  switch (tag) {
    case '{':
      return inspectFields(tag, value as Record<string, unknown>);
    case '[':
      return inspectItems(tag, value as unknown[]);
    case 'S':
      return inspectItems(tag, [...(value as Set<unknown>)]);
    case 'M': {
      const map = value as Map<unknown, unknown>;
      return inspectFields(tag, { k: [...map.keys()], v: [...map.values()] });
    }
    default:
      return leaf(noneOf(value) === '' ? tag : '', noneOf(value));
  }
}

function inspectFields(tag: Tag, record: Readonly<Record<string, unknown>>): RichType {
  let fields: Map<string, RichType> | undefined;
  for (const key of Object.keys(record)) {
    const type = inspect(record[key]);
    if (!isPlain(type)) (fields ??= new Map<string, RichType>()).set(key, type);
  }
  return fields === undefined && tag === '{' ? PLAIN : compound(tag, '', { fields });
}

function inspectItems(tag: Tag, items: readonly unknown[]): RichType {
  const types = items.map(inspect);
  if (types.every(isPlain)) return tag === '[' ? PLAIN : leaf(tag, '');
  const each = commonOf(types);
  if (each !== undefined && items.every((item) => fits(item, each))) return compound(tag, '', { each });
  const fields = new Map<string, RichType>();
  for (const [index, type] of types.entries()) if (!isPlain(type)) fields.set(String(index), type);
  return compound(tag, '', { fields });
}

/** The one type that may read what each of these reads, if there is one; `fits` tells whether it does. */
function commonOf(types: readonly RichType[]): RichType | undefined {
  const [first] = types;
  if (types.every((type) => type === first)) return first;
  const tags = new Set(types.map((type) => type.tag));
  const nones = new Set(types.map((type) => type.none));
  tags.delete('');
  nones.delete('');
  if (nones.size > 1) nones.delete('?');
  const eaches: RichType[] = [];
  const lists = new Map<string, RichType[]>();
  for (const { each, fields } of types) {
    if (each !== undefined) eaches.push(each);
    for (const [key, field] of fields ?? []) {
      const list = lists.get(key);
      if (list === undefined) lists.set(key, [field]);
      else list.push(field);
    }
  }
  if (tags.size > 1 || nones.size > 1 || (eaches.length > 0 && lists.size > 0)) return undefined;
  const [tag = ''] = tags;
  const [none = ''] = nones;
  // What has no type here may be missing, null, or plain and without any of the fields inside.
  const commonHere = (list: readonly RichType[]) =>
    commonOf(list.length < types.length ? [...list, NULL] : list);
  if (eaches.length > 0) {
    const each = commonHere(eaches);
    return each && compound(tag, none, { each });
  }
  if (lists.size === 0) return leaf(tag, none);
  const fields = new Map<string, RichType>();
  for (const [key, list] of lists) {
    const field = commonHere(list);
    if (field === undefined) return undefined;
    fields.set(key, field);
  }
  return compound(tag, none, { fields });
}

/** Whether this type, common to this value and others, gives exactly this value back. */
function fits(value: unknown, type: RichType): boolean {
  const none = noneOf(value);
  if (none !== '') return type.none === none;
  if (type.tag === '') return true;
  if (type.tag === 'Z') return typeof value === 'number' && !Object.is(value, 0);
  if (type.tag !== tagOf(value)) return false;
  switch (type.tag) {
    case '{':
      return Object.entries(value as object).every(([key, item]) => fitsAt(key, item, type));
    case '[':
      return itemsFit(value as unknown[], type);
    case 'S':
      return itemsFit([...(value as Set<unknown>)], type);
    case 'M': {
      const map = value as Map<unknown, unknown>;
      return fitsAt('k', [...map.keys()], type) && fitsAt('v', [...map.values()], type);
    }
    default:
      return true;
  }
}

function itemsFit(items: readonly unknown[], type: RichType): boolean {
  return items.every((item, index) => fitsAt(String(index), item, type));
}

function fitsAt(key: string, item: unknown, type: RichType): boolean {
  const inside = type.each ?? type.fields?.get(key);
  return inside === undefined || fits(item, inside);
}

/** Whether a value of this type holds something that a handler could change, frozen or not. */
export function isMutable(type: RichType | undefined): boolean {
  if (type === undefined) return false;
  const { tag, none, fields, each } = type;
  if (tag === 'D' || tag === 'B' || tag === 'S' || tag === 'M' || none === 'i') return true;
  if (fields !== undefined) for (const field of fields.values()) if (isMutable(field)) return true;
  return isMutable(each);
}

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

const VERSION = 1;
/** A header travels beside the body in every broker's frame. */
export const TYPES_HEADER_MAX = 16_384;
/** How deep data may be nested, counted in arrays and objects of its JSON. */
export const DEPTH_MAX = 200;

/** The header of a type: printable ASCII without spaces. */
export function writeTypes(type: RichType): string {
  return `${VERSION}${textOf(type)}`;
}

function textOf({ tag, none, fields, each }: RichType): string {
  if (each === undefined && fields === undefined) return tag + none;
  const isList = tag === '[' || tag === 'S';
  let text = each === undefined ? '' : `*${textOf(each)}`;
  if (fields !== undefined) {
    for (const [key, field] of fields) text += `${text === '' ? '' : ','}${escapeKey(key)}:${textOf(field)}`;
  }
  return (tag === 'S' || tag === 'M' ? tag : '') + (isList ? `[${text}]` : `{${text}}`) + none;
}

function escapeKey(key: string): string {
  if (/^[A-Za-z0-9_-]*$/.test(key)) return key;
  return key.replace(/[^A-Za-z0-9_-]/g, (unit) => `%${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Reads a header that cannot be trusted: throws `DecodeError`. */
export function readTypes(header: string): RichType {
  const version = /^[1-9][0-9]{0,8}(?![0-9])/.exec(header)?.[0];
  if (version === undefined || header.length > TYPES_HEADER_MAX) throw malformed();
  if (Number(version) > VERSION) {
    throw new DecodeError(
      `The types header has version ${version}, this signalbox reads up to ${VERSION}: upgrade this master.`,
    );
  }
  return new HeaderReader(header, version.length).read();
}

function malformed(): DecodeError {
  return new DecodeError('The types header is malformed.');
}

class HeaderReader {
  #at: number;

  constructor(
    readonly header: string,
    start: number,
  ) {
    this.#at = start;
  }

  read(): RichType {
    const type = this.#type(0);
    if (this.#at < this.header.length) throw malformed();
    return type;
  }

  #type(depth: number): RichType {
    if (depth > DEPTH_MAX) throw malformed();
    const start = this.#at;
    const tag = (this.#take(/[DNBZSM{[]/y) ?? '') as Tag;
    const inside = this.#inside(tag, depth);
    const none = (this.#take(/[?unpmi]/y) ?? '') as None;
    if (this.#at === start) throw malformed();
    return inside === undefined ? leaf(tag, none) : compound(tag, none, inside);
  }

  #inside(tag: Tag, depth: number): Inside | undefined {
    if (tag === '{' || (tag === 'M' && this.#take(/\{/y))) return { fields: this.#fields(/\}/y, depth) };
    if (tag !== '[' && !(tag === 'S' && this.#take(/\[/y))) return undefined;
    if (!this.#take(/\*/y)) return { fields: this.#fields(/\]/y, depth) };
    const each = this.#type(depth + 1);
    if (!this.#take(/\]/y)) throw malformed();
    return { each };
  }

  #fields(close: RegExp, depth: number): ReadonlyMap<string, RichType> {
    const fields = new Map<string, RichType>();
    do {
      const key = this.#take(/(?:[A-Za-z0-9_-]|%[0-9a-f]{4})*:/y)?.slice(0, -1);
      if (key === undefined || fields.has(key)) throw malformed();
      fields.set(
        key.replace(/%(.{4})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
        this.#type(depth + 1),
      );
    } while (this.#take(/,/y));
    if (!this.#take(close)) throw malformed();
    return fields;
  }

  #take(what: RegExp): string | undefined {
    what.lastIndex = this.#at;
    const taken = what.exec(this.header)?.[0];
    this.#at += taken?.length ?? 0;
    return taken;
  }
}
