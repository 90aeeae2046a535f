import { DecodeError } from './errors.js';
import { compound, leaf, type Inside, type None, type RichType, type Tag } from './rich-types.js';

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
