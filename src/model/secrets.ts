import { toError } from './errors.js';

/** From `//` to the last `@` of a word: user and password of a URL, whatever characters a careless one holds. */
const USER_INFO = /\/\/[^\s"'`<>]*@/g;

/** A text without what stands before the host of a URL. */
export function withoutSecrets(text: string): string {
  return text.includes('@') ? text.replace(USER_INFO, '//***@') : text;
}

/**
 * What a backend rejected with, or told a sink of, as an error that may be shown: client libraries put the broker's URL into
 * their texts. The same object, so that its class and code stay; its causes, and the errors and texts among its properties,
 * are cleaned as well.
 */
export function brokerError(thrown: unknown): Error {
  const error = toError(thrown);
  clean(error, new Set());
  return error;
}

function clean(error: Error, seen: Set<Error>): void {
  if (seen.has(error)) return;
  seen.add(error);
  for (const key of new Set(['message', 'stack', 'cause', ...Object.getOwnPropertyNames(error)])) {
    const value = read(error, key);
    if (typeof value === 'string') replace(error, key, value);
    else if (value instanceof Error) clean(value, seen);
    else if (Array.isArray(value)) for (const item of value) if (item instanceof Error) clean(item, seen);
  }
}

function read(error: Error, key: string): unknown {
  try {
    return (error as unknown as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

function replace(error: Error, key: string, text: string): void {
  const shown = withoutSecrets(text);
  if (shown === text) return;
  try {
    Object.defineProperty(error, key, { value: shown, configurable: true, writable: true });
  } catch {
    // Frozen: nothing of signalbox freezes its errors, and a client library that does shows what it shows.
  }
}
