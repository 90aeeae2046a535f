import {
  BIGINT,
  NEGATIVE_ZERO,
  NULL,
  PLAIN,
  UNDEFINED,
  compound,
  leaf,
  type None,
  type RichType,
  type Tag,
} from './rich-types.js';

export function tagOf(value: unknown): Tag {
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
