/**
 * Whether `part` says nothing that `whole` does not say: equal, except that its objects, at any depth, may have fewer fields.
 * Both hold what a message can hold; anything else is equal to itself only.
 */
export function isPartOf(part: unknown, whole: unknown): boolean {
  if (Object.is(part, whole)) return true;
  if (typeof part !== 'object' || typeof whole !== 'object' || part === null || whole === null) return false;
  if (Array.isArray(part))
    return (
      Array.isArray(whole) &&
      part.length === whole.length &&
      part.every((item, at) => isPartOf(item, whole[at]))
    );
  const prototype: unknown = Object.getPrototypeOf(part);
  if (prototype === Object.prototype || prototype === null) return isPlain(whole) && hasFieldsOf(part, whole);
  if (prototype !== Object.getPrototypeOf(whole)) return false;
  if (part instanceof Date) return part.getTime() === (whole as Date).getTime();
  if (part instanceof Map) {
    const items = whole as Map<unknown, unknown>;
    return (
      part.size === items.size &&
      [...part].every(([key, item]) => items.has(key) && isPartOf(item, items.get(key)))
    );
  }
  if (part instanceof Set)
    return (
      part.size === (whole as Set<unknown>).size &&
      [...part].every((item) => (whole as Set<unknown>).has(item))
    );
  return part instanceof Uint8Array && Buffer.compare(part, whole as Uint8Array) === 0;
}

/** Freezes plain objects and arrays, and what they hold. */
export function freezePlain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  if (!Array.isArray(value) && !isPlain(value)) return value;
  Object.freeze(value);
  for (const item of Object.values(value)) freezePlain(item);
  return value;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function hasFieldsOf(part: object, whole: object): boolean {
  // A field that is undefined says as little as none.
  return Object.entries(part).every(([name, item]) =>
    isPartOf(item, Object.hasOwn(whole, name) ? (whole as Record<string, unknown>)[name] : undefined),
  );
}
