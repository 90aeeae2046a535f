import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Backend, ConnectOptions, Session } from '../../backend.js';
import { BrokerUrlError, isRetryable } from '../../model/errors.js';
import { parseAddress } from './address.js';
import { establish } from './establishing.js';
import { KnownQueues } from './known-queues.js';

export interface AmqpBackendOptions {
  /** Of `amqps:`: certificates and the like, as `node:tls` takes them. */
  readonly tls?: TlsOptions;
  /** The broker's `consumer_timeout`, if it was changed: what an owner holds for half of that is renewed. Default 1,800,000. */
  readonly consumerTimeoutMs?: number;
}

/** Unless somebody has told the broker otherwise. */
const CONSUMER_TIMEOUT_MS = 1_800_000;

/**
 * RabbitMQ, 3.10 or later. Several URLs are of one broker: nodes of a cluster, tried in turn. `ownerTimeoutMs` is a multiple of
 * 2,000: half of it is the heartbeat, in whole seconds.
 */
export function amqpBackend(urls: string | readonly string[], options: AmqpBackendOptions = {}): Backend {
  const addresses = (typeof urls === 'string' ? [urls] : urls).map(parseAddress);
  if (addresses.length === 0) throw new BrokerUrlError('A list of broker URLs holds at least one.');
  const { tls = {}, consumerTimeoutMs = CONSUMER_TIMEOUT_MS } = options;
  let next = 0;
  const memories = new Map<string, KnownQueues>();
  return {
    name: addresses.map(({ shown }) => shown).join(', '),
    async connect(wanted: ConnectOptions): Promise<Session> {
      const memory = `${wanted.namespace}/${wanted.master}`;
      const known = memories.get(memory) ?? new KnownQueues();
      memories.set(memory, known);
      for (let tried = 1; ; tried++) {
        const address = addresses[next % addresses.length]!;
        try {
          return await establish(address, { tls, consumerTimeoutMs, known }, wanted);
        } catch (error) {
          next++;
          if (tried === addresses.length || !isRetryable(error) || wanted.signal.aborted) throw error;
        }
      }
    },
  };
}
