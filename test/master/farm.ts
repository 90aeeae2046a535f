import { afterEach } from 'vitest';
import type { Backend, Session } from '../../src/backend.js';
import { memoryBackend } from '../../src/backends/memory/index.js';
import { createMaster, type Master, type MasterOptions } from '../../src/index.js';
import type { VirtualClock } from '../../src/testing/virtual-clock.js';

/** The masters of the test that runs; they are stopped after it. */
export const started: Master[] = [];
let hubs = 0;

/** Creates masters of one hub. */
export function farm(): (name: string, options?: Partial<MasterOptions>) => Promise<Master> {
  const broker = `memory:test-${++hubs}`;
  return async (name, options = {}) => {
    const master = await createMaster({ name, broker, ...options });
    started.push(master);
    return master;
  };
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((master) => master.stop()));
});

/** A hub whose sessions do something else first. */
export function tampered(tamper: (session: Session) => void): Backend {
  const hub = memoryBackend();
  return {
    name: 'tampered',
    connect: async (options) => {
      const session = await hub.connect(options);
      tamper(session);
      return session;
    },
  };
}

/** Lets virtual time pass, step by step, until a promise has settled; says how much it took. */
export async function timeUntil(clock: VirtualClock, promise: Promise<unknown>): Promise<number> {
  const began = clock.now();
  let settled = false;
  const settle = () => (settled = true);
  promise.then(settle, settle);
  await clock.advance(0);
  while (!settled) {
    if (clock.now() - began > 3_600_000) throw new Error('It does not settle within an hour.');
    await clock.advance(10);
  }
  return clock.now() - began;
}
