import { createMaster } from '../../src/index.js';
import { median, result, type Result } from '../result.js';
import { withRabbit } from './broker.js';
import { byHand } from './by-hand.js';
import { PREFETCH, WINDOW, type Contender, type Running } from './contender.js';
import { peers } from './peers.js';

const ROUNDS = 3;
const COUNT = 20_000;
/** 512 bytes with its JSON around it. */
const DATA = { line: 'x'.repeat(512 - 11) };

/**
 * Confirmed publish to handled, and acked if durable, in one process over one broker: signalbox, the same by hand, other
 * libraries. A round has all of them, one after the other.
 */
export async function run(): Promise<Result[]> {
  const durable = [
    signalbox('signalbox', true),
    byHand({ name: 'amqplib by hand', durable: true, parsed: true }),
    byHand({ name: 'amqplib, bare buffers', durable: true, parsed: false }),
    ...peers,
  ];
  const transient = [
    signalbox('signalbox, transient', false),
    byHand({ name: 'amqplib by hand, transient', durable: false, parsed: true }),
    byHand({ name: 'amqplib, bare buffers, transient', durable: false, parsed: false }),
  ];
  const rates = await withRabbit(async ({ url }) => {
    const found = new Map<string, number[]>();
    for (let round = 0; round <= ROUNDS; round++)
      for (const contender of [...durable, ...transient]) {
        const rate = await rateOf(contender, url);
        console.error(`${contender.name}: ${rate.toFixed(0)}/s`);
        // The first round warms up.
        if (round > 0) found.set(contender.name, [...(found.get(contender.name) ?? []), rate]);
      }
    return found;
  });
  const of = ({ name }: Contender) => median(rates.get(name)!);
  const ratios = ([ours, hand, bare]: readonly Contender[], kind: string) => [
    result(`${kind}: signalbox against amqplib by hand`, of(ours!) / of(hand!), 'times', { atLeast: 0.95 }),
    result(`${kind}: signalbox against amqplib with bare buffers`, of(ours!) / of(bare!), 'times'),
  ];
  return [
    ...ratios(durable, 'durable'),
    ...ratios(transient, 'transient'),
    ...[...durable, ...transient].map((contender) => result(contender.name, of(contender), 'messages/s')),
  ];
}

/** Messages a second, from the first publish until the last one is handled and the last confirm is here. */
async function rateOf(contender: Contender, url: string): Promise<number> {
  const running = await contender.open(url);
  try {
    await pass(running, COUNT / 10);
    const begun = performance.now();
    await pass(running, COUNT);
    return COUNT / ((performance.now() - begun) / 1_000);
  } finally {
    await running.close();
  }
}

async function pass(running: Running, count: number): Promise<void> {
  let left = count;
  const handled = new Promise<void>((resolve) => {
    running.handled = () => {
      if (--left === 0) resolve();
    };
  });
  const inFlight: Promise<unknown>[] = [];
  for (let sent = 0; sent < count; sent++) {
    inFlight.push(running.publish(DATA));
    // A sliding window: a place is free again as soon as its publish is confirmed.
    if (inFlight.length >= WINDOW) await inFlight[inFlight.length - WINDOW];
  }
  await Promise.all(inFlight);
  await handled;
}

function signalbox(name: string, durable: boolean): Contender {
  return {
    name,
    async open(broker) {
      const master = await createMaster({
        name: 'bench',
        broker,
        namespace: 'signalbox',
        publishWindow: WINDOW,
      });
      const running: Running = {
        publish: (data) => master.publish('bench.topic', data),
        handled: () => {},
        close: async () => {
          if (durable) await master.deleteQueue('bench', { whileInUse: true });
          await master.stop();
        },
      };
      const handler = () => running.handled();
      if (durable) {
        const handle = await master.consume('bench', { bindings: ['bench.#'], prefetch: PREFETCH }, handler);
        await handle.until('active', { timeoutMs: 10_000 });
      } else await master.subscribe('bench.#', { mailbox: { limit: COUNT } }, handler);
      return running;
    },
  };
}
