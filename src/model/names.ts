import { NameError } from './errors.js';

const NAME = /^[A-Za-z0-9._-]{1,128}$/;

/** Checks the name of a master, queue or namespace. */
export function checkName(kind: 'master' | 'queue' | 'namespace', name: unknown): string {
  if (typeof name === 'string' && NAME.test(name)) return name;
  const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 140)) : typeof name;
  throw new NameError(`${shown} is no name for a ${kind}. Use 1 to 128 letters, digits, ".", "_" or "-".`);
}
