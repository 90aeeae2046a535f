import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { installFromDebian, mayInstall } from './debian.js';

/** The program of a broker, or what to do to have one. */
export type Found = { readonly program: string; readonly missing?: undefined } | { readonly missing: string };

export interface Wanted {
  /** The file's name, and that of Debian's package. */
  readonly name: string;
  /** Where Debian puts it; looked into before the PATH. */
  readonly folder: string;
  /** In the environment: another one, to be used instead. */
  readonly variable: string;
  /** For people who have none. */
  readonly how: string;
}

/** The one that is named in the environment, else looks for it, and on Debian, as root, installs it. */
export function serverProgram(wanted: Wanted): Found {
  const named = process.env[wanted.variable];
  if (named) return existsSync(named) ? { program: named } : { missing: `${named} is not there.` };
  const present = find(wanted);
  if (present) return { program: present };
  if (!mayInstall()) return { missing: wanted.how };
  const failure = installFromDebian(wanted.name);
  const installed = find(wanted);
  return installed
    ? { program: installed }
    : { missing: `${failure ?? 'It was installed, and is not there.'} ${wanted.how}` };
}

function find({ name, folder }: Wanted): string | undefined {
  const places = [folder, ...(process.env['PATH'] ?? '').split(delimiter)];
  return places.map((place) => join(place, name)).find((program) => existsSync(program));
}
