import type { Backend } from '../backend.js';
import { memoryBackend, sharedMemoryBackend } from '../backends/memory/index.js';
import { BrokerUrlError } from '../model/errors.js';
import { checkName } from '../model/names.js';

/** Finds the backend that a `broker` option names. The text of its errors never shows a password. */
export function findBackend(broker: string | Backend): Backend {
  if (typeof broker === 'object' && broker !== null && typeof broker.connect === 'function') return broker;
  if (typeof broker === 'string') {
    if (broker === 'memory:') return memoryBackend();
    if (broker.startsWith('memory:')) return sharedMemoryBackend(checkName('namespace', broker.slice(7)));
  }
  const scheme = typeof broker === 'string' ? /^[a-z][a-z0-9+.-]*:/i.exec(broker)?.[0] : undefined;
  throw new BrokerUrlError(
    `${scheme ? `"${scheme}"` : 'That'} names no broker. Use "memory:", "memory:NAME" or a Backend.`,
  );
}
