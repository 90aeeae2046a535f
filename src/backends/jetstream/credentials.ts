import { credsAuthenticator, nkeyAuthenticator, type NodeConnectionOptions } from '@nats-io/transport-node';
import { readFile } from 'node:fs/promises';
import { AccessError, toError } from '../../model/errors.js';
import type { Address } from './address.js';

/** Who we are, beside what the URL says. Files are read anew for each connection: keys are changed while programs run. */
export interface NatsCredentials {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** The seed of an NKey (`SU…`). */
  readonly nkeySeed?: string;
  /** The path of a file that `nsc` has made. */
  readonly credsFile?: string;
}

type Login = Pick<NodeConnectionOptions, 'user' | 'pass' | 'token' | 'authenticator'>;

/** What the client library takes. A file that cannot be read is no passing trouble. */
export async function loginOf(address: Address, credentials: NatsCredentials): Promise<Login> {
  const { nkeySeed, credsFile } = credentials;
  if (credsFile !== undefined) return { authenticator: credsAuthenticator(await read(credsFile)) };
  if (nkeySeed !== undefined) return { authenticator: nkeyAuthenticator(Buffer.from(nkeySeed.trim())) };
  const token = credentials.token ?? address.token;
  if (token !== undefined) return { token };
  const user = credentials.user ?? address.user;
  const pass = credentials.password ?? address.password;
  return user === undefined ? {} : { user, ...(pass !== undefined && { pass }) };
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw new AccessError('The file of the NATS credentials cannot be read.', { cause: toError(thrown) });
  }
}
