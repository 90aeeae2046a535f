import { createMaster, type Master } from '../src/index.js';
import { median, result, type Result } from './result.js';

const MESSAGES = 200_000;
const ROUNDS = 7;

/** Publish to handler within one process, with the default window. */
export async function run(): Promise<Result[]> {
  const alone = await prepared(0);
  const crowded = await prepared(1_000);
  const durable = await prepared(0);
  await durable.consume('bench', { bindings: ['durable.#'], prefetch: 256 }, durable.count);
  const rates = { alone: [] as number[], crowded: [] as number[], durable: [] as number[] };
  for (let round = 0; round <= ROUNDS; round++) {
    rates.alone.push(await rate(alone, 'build.17.log'));
    rates.crowded.push(await rate(crowded, 'build.17.log'));
    rates.durable.push(await rate(durable, 'durable.17.log'));
    // The first round warms up.
    if (round === 0) for (const list of Object.values(rates)) list.length = 0;
  }
  await Promise.all([alone.master.stop(), crowded.master.stop(), durable.master.stop()]);
  const one = median(rates.alone);
  return [
    result('publish to handler, one subscriber', one, 'messages/s', { atLeast: 500_000 }),
    result('with 1,000 subscribers of other topics, against one', median(rates.crowded) / one, 'times', {
      atLeast: 0.5,
    }),
    result('durable exclusive queue, publish to handled and acked', median(rates.durable), 'messages/s'),
  ];
}

interface Prepared {
  readonly master: Master;
  handled: number;
  whenHandled: (() => void) | undefined;
  count(): void;
  consume: Master['consume'];
}

async function prepared(others: number): Promise<Prepared> {
  const master = await createMaster({ name: 'bench', broker: 'memory:' });
  const state: Prepared = {
    master,
    handled: 0,
    whenHandled: undefined,
    count: () => {
      if (++state.handled === MESSAGES) state.whenHandled?.();
    },
    consume: master.consume.bind(master),
  };
  // On a busy machine the usual mailbox may overflow, and the round would wait for what was dropped.
  await master.subscribe('build.*.log', { mailbox: { limit: MESSAGES } }, state.count);
  for (let number = 0; number < others; number++) await master.subscribe(`other.${number}.log`, () => {});
  return state;
}

async function rate(state: Prepared, topic: string): Promise<number> {
  state.handled = 0;
  const handled = new Promise<void>((resolve) => (state.whenHandled = resolve));
  const begun = performance.now();
  // As a program would: some in flight, each awaited before too many are.
  const inFlight: Promise<unknown>[] = [];
  for (let number = 0; number < MESSAGES; number++) {
    inFlight.push(state.master.publish(topic, { builder: 'linux', number, line: 'cc -O2 -c main.c' }));
    if (inFlight.length === 500) await Promise.all(inFlight.splice(0));
  }
  await Promise.all(inFlight);
  await handled;
  return MESSAGES / ((performance.now() - begun) / 1_000);
}
