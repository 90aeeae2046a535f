import assert from 'node:assert/strict';
import { afterAll, describe, it } from 'vitest';
import { amqpBackend } from '../src/backends/amqp/index.js';
import { AmqpSession } from '../src/backends/amqp/session.js';
import { systemEnvironment } from '../src/model/clock.js';
import { runConformance, type Bench } from '../src/testing/conformance.js';
import { leftAtRabbit, rabbit } from './brokers/rabbit.js';

const broker = await rabbit();

async function openBench(): Promise<Bench> {
  const backend = amqpBackend(broker!.url);
  return {
    name: backend.name,
    environment: systemEnvironment,
    ownerTimeoutMs: 4_000,
    patienceMs: 10_000,
    connect: async (options) => {
      const session = await backend.connect(options);
      assert(session instanceof AmqpSession);
      const crash = async () => {
        // What was said in an earlier turn is with the kernel, which delivers it after the death of the process.
        await new Promise(setImmediate);
        session.drop(new Error('The process has died.'));
      };
      return { session, crash };
    },
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms + 20)),
    // AMQP lists nothing, and `rabbitmqctl` takes seconds: all of them together, at the end.
    leftovers: async () => [],
    close: async () => {},
  };
}

describe.skipIf(!broker)('amqp:', async () => {
  if (!broker) return;
  afterAll(async () => {
    const left = (await leftAtRabbit('')) ?? [];
    // Nobody has told the janitor of another namespace of its queues: all that knew them had gone.
    const isForgotten = (name: string) => /^elsewhere-.*\.[qtd]\./.test(name);
    const ours = left.filter((name) => /^(?:conformance|elsewhere)-/.test(name) && !isForgotten(name));
    assert.deepEqual(ours, [], 'queues are left at the broker');
  }, 30_000);
  await runConformance(openBench, (name, run, skipReason) => {
    const title = skipReason === undefined ? name : `${name} (${skipReason})`;
    it(title, { skip: skipReason !== undefined, timeout: 60_000 }, run);
  });
});
