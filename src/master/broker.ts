import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Backend } from '../backend.js';
import { parseAddress as parseAmqpAddress } from '../backends/amqp/address.js';
import { parseAddress as parseNatsAddress } from '../backends/jetstream/address.js';
import type { NatsCredentials } from '../backends/jetstream/credentials.js';
import { memoryBackend, sharedMemoryBackend } from '../backends/memory/index.js';
import { BrokerUrlError } from '../model/errors.js';
import { checkName } from '../model/names.js';

/** Options of a master that only some backends know. */
export interface BrokerOptions {
  readonly ifHubFrozen: 'report' | 'restart';
  readonly tls: TlsOptions | undefined;
  readonly credentials?: NatsCredentials | undefined;
  readonly replicas?: number | undefined;
}

/** Finds the backend that a `broker` option names. The text of its errors never shows a password. */
export function findBackend(broker: string | readonly string[] | Backend, options: BrokerOptions): Backend {
  const amqp = amqpUrls(broker);
  if (amqp) return amqpBackendAt(amqp, options);
  const nats = urlsOf(broker, /^(?:nats|tls):/i);
  if (nats) return jetstreamBackendAt(nats, options);
  if (isBackend(broker)) return broker;
  if (typeof broker === 'string') {
    if (broker === 'memory:') return memoryBackend();
    if (broker.startsWith('memory:')) return sharedMemoryBackend(checkName('namespace', broker.slice(7)));
    if (broker.startsWith('file:')) return fileBackendAt(broker, options);
  }
  const scheme = typeof broker === 'string' ? /^[a-z][a-z0-9+.-]*:/i.exec(broker)?.[0] : undefined;
  throw new BrokerUrlError(
    `${scheme ? `"${scheme}"` : 'That'} names no broker. Use "memory:", "memory:NAME", "file:./folder", "amqp://host", "nats://host" or a Backend.`,
  );
}

function isBackend(broker: unknown): broker is Backend {
  return (
    typeof broker === 'object' &&
    broker !== null &&
    'connect' in broker &&
    typeof broker.connect === 'function'
  );
}

/** The URLs, if it names a RabbitMQ, or several nodes of one. */
export function amqpUrls(broker: unknown): readonly string[] | undefined {
  return urlsOf(broker, /^amqps?:/i);
}

function urlsOf(broker: unknown, scheme: RegExp): readonly string[] | undefined {
  const urls: readonly unknown[] = Array.isArray(broker) ? broker : [broker];
  const isUrl = (url: unknown) => typeof url === 'string' && scheme.test(url);
  return urls.length > 0 && urls.every(isUrl) ? (urls as readonly string[]) : undefined;
}

function amqpBackendAt(urls: readonly string[], { tls }: BrokerOptions): Backend {
  // What cannot be read is said before anything is loaded.
  const name = urls.map((url) => parseAmqpAddress(url).shown).join(', ');
  return loadedLater(name, async () => {
    const { amqpBackend } = await import('../backends/amqp/index.js');
    return amqpBackend(urls, tls && { tls });
  });
}

function jetstreamBackendAt(urls: readonly string[], options: BrokerOptions): Backend {
  const { tls, credentials, replicas } = options;
  // What cannot be read is said before anything is loaded.
  return loadedLater(parseNatsAddress(urls).shown, async () => {
    const { jetstreamBackend } = await import('../backends/jetstream/index.js');
    return jetstreamBackend(urls, {
      ...(tls && { tls }),
      ...(credentials && { credentials }),
      ...(replicas !== undefined && { replicas }),
    });
  });
}

function fileBackendAt(broker: string, options: BrokerOptions): Backend {
  const folder = broker.slice('file:'.length).replace(/^\/\/(?=\/)/, '');
  if (folder === '' || folder.startsWith('//') || folder.includes('\0'))
    throw new BrokerUrlError(
      `${JSON.stringify(broker)} names no folder. Write "file:./folder", or "file:/a/whole/path".`,
    );
  return loadedLater(broker, async () => {
    const { fileBackend } = await import('../backends/file/index.js');
    return fileBackend(folder, options);
  });
}

/** A program on one backend never loads another's client. */
function loadedLater(name: string, load: () => Promise<Backend>): Backend {
  let loading: Promise<Backend> | undefined;
  return {
    name,
    connect: async (options) => (await (loading ??= load())).connect(options),
  };
}
