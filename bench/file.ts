import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createMaster, type Master } from '../src/index.js';
import { median, result, type Result } from './result.js';

const WINDOW = 1_000;
const ROUNDS = 5;
const MANY = 200_000;
const FEW = 3_000;
/** 512 bytes with its JSON around it. */
const DATA = { line: 'x'.repeat(512 - 11) };

/**
 * Durable publish in one process, handled and acked in another, flushed to disk in a third: as many as go with 1,000 in
 * flight, one after the other, and 1,000 a second for the time from publish to handler.
 */
export async function run(): Promise<Result[]> {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-bench-'));
  const broker = `file:${folder}`;
  const consumer = await Consumer.start(broker);
  const master = await createMaster({ name: 'publisher', broker, publishWindow: WINDOW });
  try {
    const rates = { many: [] as number[], one: [] as number[] };
    for (let round = 0; round <= ROUNDS; round++) {
      rates.many.push(await rate(consumer, MANY, () => publishMany(master, MANY)));
      rates.one.push(await rate(consumer, FEW, () => publishOneByOne(master, FEW)));
      // The first round warms up.
      if (round === 0) rates.many.length = rates.one.length = 0;
    }
    const latencies = await consumer.latencies(FEW, () => publishSteadily(master, FEW));
    const at = (part: number) => latencies[Math.floor(latencies.length * part)]!;
    return [
      result(
        'durable, 512 bytes, 1,000 in flight, handled and acked in another process',
        median(rates.many),
        'messages/s',
        {
          atLeast: 100_000,
        },
      ),
      result('one in flight', median(rates.one), 'messages/s', { atLeast: 1_500 }),
      result('publish to handler at 1,000/s, p50', at(0.5), 'ms', { atMost: 2 }),
      result('publish to handler at 1,000/s, p99', at(0.99), 'ms'),
    ];
  } finally {
    await master.stop();
    await consumer.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function publishMany(master: Master, count: number): Promise<void> {
  // A ring of those in flight: a publisher that kept every promise would measure the collector.
  const inFlight: Promise<unknown>[] = [];
  for (let sent = 0; sent < count; sent++) {
    await inFlight[sent % WINDOW];
    inFlight[sent % WINDOW] = master.publish('bench.many', DATA);
  }
  await Promise.all(inFlight);
}

async function publishOneByOne(master: Master, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent++) await master.publish('bench.one', DATA);
}

async function publishSteadily(master: Master, count: number): Promise<void> {
  const inFlight: Promise<unknown>[] = [];
  const begun = performance.now();
  while (inFlight.length < count) {
    const due = Math.min(count, Math.floor(performance.now() - begun));
    while (inFlight.length < due)
      inFlight.push(master.publish('bench.steady', { ...DATA, at: Number(process.hrtime.bigint()) }));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(inFlight);
}

/** Messages a second, from the first publish until the last one is handled. */
async function rate(consumer: Consumer, count: number, publish: () => Promise<void>): Promise<number> {
  const handled = consumer.handled(count);
  const begun = performance.now();
  await publish();
  await handled;
  return count / ((performance.now() - begun) / 1_000);
}

/** The consumer's process, seen from the publisher's. */
class Consumer {
  private constructor(readonly child: ChildProcess) {}

  static async start(broker: string): Promise<Consumer> {
    const child = fork(fileURLToPath(new URL('./file-consumer.js', import.meta.url)), [broker]);
    await new Promise((resolve) => child.once('message', resolve));
    return new Consumer(child);
  }

  async handled(count: number): Promise<number[]> {
    const answer = new Promise((resolve) => this.child.once('message', resolve));
    this.child.send({ count });
    return (await answer) as number[];
  }

  /** Milliseconds from publish to handler, rising. */
  async latencies(count: number, publish: () => Promise<void>): Promise<number[]> {
    const handled = this.handled(count);
    await publish();
    return (await handled).sort((a, b) => a - b);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.send({ count: 0 });
    await ended;
  }
}
