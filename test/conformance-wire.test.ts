import { describe, it } from 'vitest';
import { runConformance, type Bench } from '../src/testing/conformance.js';
import type { DelayOptions } from '../src/testing/faults.js';
import { createTestBroker, type TestBrokerOptions } from '../src/testing/test-broker.js';

/*
 * The suite against the hub behind a wire: at once, as `memory:` is, and slow, so that no case asks for what only a broker
 * in the same process can do.
 */

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

interface Variant {
  readonly options: TestBrokerOptions;
  readonly delays: DelayOptions;
  /** The longest delay. */
  readonly slowestMs: number;
}

const slow = { delays: { toBrokerMs: [0, 3], fromBrokerMs: [0, 3] }, slowestMs: 3 } as const;
const variants: Record<string, Variant> = {
  'a broker behind a wire': { options: {}, delays: {}, slowestMs: 0 },
  'a slow broker': { options: {}, ...slow },
  'a slow broker that can do little': {
    options: { lacks: ['queueLimit', 'queueExpiry', 'exactHandBack'] },
    ...slow,
  },
};

function benches({ options, delays, slowestMs }: Variant): () => Promise<Bench> {
  let opened = 0;
  return async () => {
    const broker = createTestBroker({ seed: seed + opened++, ...options });
    const { environment, clock } = broker;
    let isOpen = true;
    // Nobody waits for a word longer than it takes: time passes while one is under way.
    const carried = (async () => {
      while (isOpen) await clock.step(slowestMs);
    })();
    return {
      name: broker.name,
      environment,
      ownerTimeoutMs: 3_000,
      patienceMs: 5_000,
      connect: async (request) => {
        const faults = broker.faultsOf(request.master, request.namespace);
        faults.delay(delays);
        const session = await broker.connect(request);
        let hasEnded = false;
        void session.closed.then(() => (hasEnded = true));
        const crash = async () => {
          const noticedAfterMs = Math.floor(environment.random() * (slowestMs + 1));
          if (!hasEnded) faults.dropSession({ noticedAfterMs });
        };
        return { session, crash };
      },
      elapse: (ms) => clock.advance(ms),
      leftovers: async () => {
        await clock.advance(slowestMs);
        return clock.pending > 0 ? ['timers'] : [];
      },
      close: async () => {
        isOpen = false;
        await carried;
      },
    };
  };
}

for (const [name, variant] of Object.entries(variants))
  describe(`${name} (SEED=${seed})`, async () => {
    await runConformance(benches(variant), (sentence, run, skipReason) => {
      const title = skipReason === undefined ? sentence : `${sentence} (${skipReason})`;
      it(title, { skip: skipReason !== undefined, timeout: 20_000 }, run);
    });
  });
