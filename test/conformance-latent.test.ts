import assert from 'node:assert/strict';
import { describe, it } from 'vitest';
import type { Capabilities } from '../src/backend.js';
import { HubSession } from '../src/backends/hub/hub-session.js';
import { memoryBackend } from '../src/backends/memory/index.js';
import { runConformance, type Bench } from '../src/testing/conformance.js';
import { virtualEnvironment } from '../src/testing/virtual-clock.js';
import { LatentSession, LITTLE } from './latent.js';

/*
 * The suite against the hub behind a slow wire: so that no case asks for what only a broker in the same process can do.
 */

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

function benches(lacks: Partial<Capabilities>): () => Promise<Bench> {
  let opened = 0;
  return async () => {
    const backend = memoryBackend();
    const environment = virtualEnvironment(seed + opened++);
    return {
      name: backend.name,
      environment,
      ownerTimeoutMs: 3_000,
      patienceMs: 5_000,
      connect: async (options) => {
        const real = await backend.connect(options);
        assert(real instanceof HubSession);
        const session = new LatentSession(real, environment.random, lacks);
        return { session, crash: async () => session.crash() };
      },
      elapse: (ms) => environment.clock.advance(ms),
      leftovers: async () => (environment.clock.pending > 0 ? ['timers'] : []),
      close: async () => {},
    };
  };
}

for (const [name, lacks] of [
  ['a slow broker', {}],
  ['a slow broker that can do little', LITTLE],
] as const)
  describe(`${name} (SEED=${seed})`, async () => {
    await runConformance(benches(lacks), (sentence, run, skipReason) => {
      const title = skipReason === undefined ? sentence : `${sentence} (${skipReason})`;
      it(title, { skip: skipReason !== undefined, timeout: 20_000 }, run);
    });
  });
