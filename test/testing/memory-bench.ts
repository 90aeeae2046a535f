import assert from 'node:assert/strict';
import { HubSession } from '../../src/backends/hub/hub-session.js';
import { memoryBackend } from '../../src/backends/memory/index.js';
import { virtualEnvironment, type Bench } from '../../src/testing/index.js';

let seed = 0;

/** What `memory:` brings to the conformance suite. */
export async function openMemoryBench(): Promise<Bench> {
  const backend = memoryBackend();
  const environment = virtualEnvironment(++seed);
  return {
    name: backend.name,
    environment,
    ownerTimeoutMs: 3_000,
    patienceMs: 1_000,
    connect: async (options) => {
      const session = await backend.connect(options);
      assert(session instanceof HubSession);
      return { session, crash: async () => session.drop(new Error('The process has died.')) };
    },
    elapse: (ms) => environment.clock.advance(ms),
    leftovers: async () => (environment.clock.pending > 0 ? ['timers'] : []),
    close: async () => {},
  };
}
