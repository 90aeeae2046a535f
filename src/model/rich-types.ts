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

export type Tag = RichType['tag'];
export type None = RichType['none'];

// One object for each leaf, so that equal leaves are the same.
const LEAVES = new Map<Tag, Map<None, RichType>>();

export function leaf(tag: Tag, none: None): RichType {
  let leaves = LEAVES.get(tag);
  if (leaves === undefined) LEAVES.set(tag, (leaves = new Map<None, RichType>()));
  let type = leaves.get(none);
  if (type === undefined) leaves.set(none, (type = { tag, none }));
  return type;
}

export const PLAIN = leaf('', '');
export const NULL = leaf('', '?');
export const UNDEFINED = leaf('', 'u');
export const BIGINT = leaf('N', '');
export const NEGATIVE_ZERO = leaf('Z', '');

export type Inside = Pick<RichType, 'fields' | 'each'>;

export function compound(tag: Tag, none: None, inside: Inside): RichType {
  let required = 0;
  for (const field of inside.fields?.values() ?? []) if (field.none === '') required += 1;
  return { tag, none, fields: inside.fields, required, each: inside.each };
}

const BIGINT_DIGITS_MAX = 10_000;
/** Numbers from here on are refused on both sides: reading them takes more than linear time. */
export const BIGINT_LIMIT = 10n ** BigInt(BIGINT_DIGITS_MAX);

const RFC_3339 = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;
export const DECIMAL = new RegExp(`^-?[0-9]{1,${BIGINT_DIGITS_MAX}}$`);
export const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

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

/** Whether a value of this type holds something that a handler could change, frozen or not. */
export function isMutable(type: RichType | undefined): boolean {
  if (type === undefined) return false;
  const { tag, none, fields, each } = type;
  if (tag === 'D' || tag === 'B' || tag === 'S' || tag === 'M' || none === 'i') return true;
  if (fields !== undefined) for (const field of fields.values()) if (isMutable(field)) return true;
  return isMutable(each);
}
