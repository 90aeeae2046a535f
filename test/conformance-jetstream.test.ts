import assert from 'node:assert/strict';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, describe, it } from 'vitest';
import { jetstreamBackend } from '../src/backends/jetstream/index.js';
import { JetStreamSession } from '../src/backends/jetstream/session.js';
import { systemEnvironment } from '../src/model/clock.js';
import { runConformance, type Bench } from '../src/testing/conformance.js';
import { nats } from './brokers/nats.js';

const broker = await nats();

function openBench(url: string, janitor: JetStreamManager): () => Promise<Bench> {
  // Each case has streams of its own, and their room is reserved.
  const backend = jetstreamBackend(url, { maxBytes: 64 * 1_048_576 });
  return async () => ({
    name: backend.name,
    environment: systemEnvironment,
    ownerTimeoutMs: 3_000,
    patienceMs: 10_000,
    connect: async (options) => {
      const session = await backend.connect(options);
      assert(session instanceof JetStreamSession);
      const crash = async () => {
        // What was said in an earlier turn is with the kernel, which delivers it after the death of the process.
        await new Promise(setImmediate);
        session.drop(new Error('The process has died.'));
      };
      return { session, crash };
    },
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms + 20)),
    leftovers: () => emptied(janitor),
    close: async () => {},
  });
}

/** What the streams of conformance cases still hold. They are deleted. */
async function emptied(janitor: JetStreamManager): Promise<string[]> {
  const left: string[] = [];
  for await (const { config, state } of janitor.streams.list()) {
    if (!/^(?:conformance|elsewhere)-/.test(config.name)) continue;
    if (state.messages > 0) left.push(`${config.name}: ${state.messages} messages`);
    if (state.consumer_count > 0) left.push(`${config.name}: ${state.consumer_count} consumers`);
    await janitor.streams.delete(config.name);
  }
  return left;
}

describe.skipIf(!broker)('jetstream:', async () => {
  if (!broker) return;
  const connection = await connect({ servers: broker.url });
  afterAll(() => connection.close());
  const open = openBench(broker.url, await jetstreamManager(connection));
  await runConformance(open, (name, run, skipReason) => {
    const title = skipReason === undefined ? name : `${name} (${skipReason})`;
    it(title, { skip: skipReason !== undefined, timeout: 60_000 }, run);
  });
});
