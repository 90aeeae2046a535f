import { createMaster, type Master, type Message } from '../src/index.js';
import { median, result, type Result } from './result.js';

const MESSAGES = 100_000;
const LANES = 10_000;
const ROUNDS = 7;

/** A durable queue on `memory:` whose messages have 10,000 keys, each handled in order, against the same queue without keys. */
export async function run(): Promise<Result[]> {
  const none = await prepared('none', {});
  const lanes = await prepared('lanes', { orderBy: ({ headers }: Message) => headers.key });
  const rates = { none: [] as number[], lanes: [] as number[] };
  for (let round = 0; round <= ROUNDS; round++) {
    rates.none.push(await none.rate());
    rates.lanes.push(await lanes.rate());
    // The first round warms up.
    if (round === 0) rates.none.length = rates.lanes.length = 0;
  }
  await Promise.all([none.master.stop(), lanes.master.stop()]);
  return [
    result('without lanes', median(rates.none), 'messages/s'),
    result(`${LANES} lanes`, median(rates.lanes), 'messages/s'),
    result(`${LANES} lanes, against none`, median(rates.lanes) / median(rates.none), 'times', {
      atLeast: 0.5,
    }),
  ];
}

interface Prepared {
  readonly master: Master;
  /** Messages a second, published, handled and acked. */
  rate(): Promise<number>;
}

async function prepared(
  name: string,
  order: { readonly orderBy?: (message: Message) => string | undefined },
): Promise<Prepared> {
  const master = await createMaster({ name, broker: 'memory:' });
  let left = 0;
  let whenHandled = (): void => {};
  // As a handler that waits for something: a lane is taken for longer than a call.
  const options = { bindings: ['bench.#'], concurrency: 256, prefetch: LANES, ...order };
  await master.consume('bench', options, async () => {
    await Promise.resolve();
    if (--left === 0) whenHandled();
  });
  return {
    master,
    async rate() {
      left = MESSAGES;
      const handled = new Promise<void>((resolve) => (whenHandled = resolve));
      const begun = performance.now();
      const inFlight: Promise<unknown>[] = [];
      for (let number = 0; number < MESSAGES; number++) {
        const headers = { key: String(number % LANES) };
        inFlight.push(master.publish('bench.many', { number }, { headers }));
        if (inFlight.length === 1_000) await Promise.all(inFlight.splice(0));
      }
      await Promise.all(inFlight);
      await handled;
      return MESSAGES / ((performance.now() - begun) / 1_000);
    },
  };
}
