import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Backend, ConnectOptions, Session } from '../../backend.js';
import { OptionError } from '../../model/errors.js';
import { parseAddress } from './address.js';
import type { NatsCredentials } from './credentials.js';
import { establish } from './establishing.js';

export type { NatsCredentials } from './credentials.js';

export interface JetStreamBackendOptions {
  /** Of `tls:`: certificates and the like, as `node:tls` takes them. */
  readonly tls?: TlsOptions;
  /** Beside what the URL says: token, NKey, a credentials file. */
  readonly credentials?: NatsCredentials;
  /** Of the streams that are made: 1, 3 or 5. Default 1. */
  readonly replicas?: number;
  /** Of the stream that holds the messages of all queues; full, it refuses publishes. Default 1 GiB. */
  readonly maxBytes?: number;
}

const MAX_BYTES = 1_073_741_824;

/** NATS JetStream, nats-server 2.9 or later. Several URLs are servers of one NATS, tried in turn. */
export function jetstreamBackend(
  urls: string | readonly string[],
  options: JetStreamBackendOptions = {},
): Backend {
  const address = parseAddress(urls);
  const { tls, credentials = {}, replicas = 1, maxBytes = MAX_BYTES } = options;
  if (![1, 3, 5].includes(replicas)) throw new OptionError(`replicas is 1, 3 or 5, not ${String(replicas)}.`);
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1_048_576)
    throw new OptionError(`maxBytes is a whole number from 1,048,576, not ${String(maxBytes)}.`);
  const settings = { address, credentials, tls, streams: { replicas, maxBytes } };
  return {
    name: address.shown,
    connect: (wanted: ConnectOptions): Promise<Session> => establish(settings, wanted),
  };
}
