import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assign, setup } from 'xstate';
import { createMaster, type Master, type Message } from '../src/index.js';
import type { Laboratory } from '../test/lab/laboratory.js';
import { measure, QUEUE } from './failover.js';
import { median, result, type Result } from './result.js';

const WINDOW = 1_000;
const ROUNDS = 5;
const TAKEOVERS = 20;

/** Two states that take turns; each message moves it on. `ended` is told when it has got so many. */
function turnstile(ended: (count: number) => void) {
  return setup({
    types: {
      context: {} as { count: number },
      events: {} as { type: 'coins.new'; message: Message },
    },
    actions: {
      count: assign({ count: ({ context }) => context.count + 1 }),
      tell: ({ context }) => ended(context.count),
    },
  }).createMachine({
    id: 'turnstile',
    context: { count: 0 },
    initial: 'locked',
    states: {
      locked: { on: { 'coins.new': { target: 'unlocked', actions: ['count', 'tell'] } } },
      unlocked: { on: { 'coins.new': { target: 'locked', actions: ['count', 'tell'] } } },
    },
  });
}

/**
 * Messages a second through a durable machine of two states, published and applied in one process and flushed to disk in the
 * hub's; the same with one input a save; and how long a take-over takes with a state of 100 kB, from one process to another.
 * `--broker URL` for another broker.
 */
export async function run(): Promise<Result[]> {
  const { values } = parseArgs({ strict: false, options: { broker: { type: 'string' } } });
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-bench-'));
  const broker = typeof values['broker'] === 'string' ? values['broker'] : `file:${folder}`;
  const isFile = broker.startsWith('file:');
  const namespace = `bench-${Date.now()}`;
  const start = (name: string) => createMaster({ name, broker, namespace, publishWindow: WINDOW });
  const [publisher, first] = [await start('publisher'), await start('first')];
  try {
    const shared = await rates(publisher, first, 'shared', isFile ? 40_000 : 10_000, undefined);
    const single = await rates(publisher, first, 'single', isFile ? 3_000 : 1_000, 1);
    await Promise.all([publisher, first].map((master) => master.stop()));
    const takenOver = await takeovers(isFile ? undefined : broker, `${namespace}-takeover`);
    return [
      result('a durable machine of two states, saves shared', shared, 'messages/s', {
        atLeast: isFile ? 10_000 : 2_000,
      }),
      result('one input a save', single, 'messages/s'),
      ...takenOver,
    ];
  } finally {
    await Promise.all([publisher, first].map((master) => master.stop()));
    await rm(folder, { recursive: true, force: true });
  }
}

/** Median of some rounds on one queue; the first one warms up. */
async function rates(
  publisher: Master,
  owner: Master,
  queue: string,
  count: number,
  prefetch: number | undefined,
): Promise<number> {
  let wanted = 0;
  let done = () => {};
  const logic = turnstile((got) => {
    if (got === wanted) done();
  });
  const options = { bindings: ['coins.new'], logic, ...(prefetch && { prefetch }) };
  const scheduler = await owner.schedule(queue, options);
  const found: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    wanted += count;
    const applied = new Promise<void>((resolve) => (done = resolve));
    const begun = performance.now();
    await publishMany(publisher, count);
    await applied;
    if (round > 0) found.push(count / ((performance.now() - begun) / 1_000));
  }
  await scheduler.stop();
  await publisher.deleteQueue(queue);
  return median(found);
}

async function publishMany(master: Master, count: number): Promise<void> {
  const inFlight: Promise<unknown>[] = [];
  for (let sent = 0; sent < count; sent++) {
    inFlight.push(master.publish('coins.new', { sent }));
    // A sliding window: a place is free again as soon as its publish is confirmed.
    if (inFlight.length >= WINDOW) await inFlight[inFlight.length - WINDOW];
  }
  await Promise.all(inFlight);
}

async function deleteQueue(broker: string, namespace: string): Promise<void> {
  await using janitor = await createMaster({ name: 'janitor', broker, namespace });
  await janitor.deleteQueue(QUEUE, { whileInUse: true });
}

/** How long a scheduler with a state of 100 kB stands still when its process is killed or stopped, as the bench `failover` has it. */
async function takeovers(broker: string | undefined, namespace: string): Promise<Result[]> {
  const isFile = broker === undefined;
  const plan = {
    ...{ runs: TAKEOVERS, owed: [] },
    lab: isFile ? { ownerTimeoutMs: 1_000 } : { broker, namespace, ownerTimeoutMs: 2_000 },
    standBy: async (lab: Laboratory, name: string) => {
      const master = await lab.master(name);
      await master.call('scheduleHeavy', { queue: QUEUE, bindings: ['t.#'], bytes: 100_000 });
      return master;
    },
  };
  const killed = await measure({ ...plan, go: (owner) => owner.kill() });
  const stopped = await measure({ ...plan, go: (owner) => owner.stop() });
  if (!isFile) await deleteQueue(broker, plan.lab.namespace!);
  const what = 'take-over with a state of 100 kB';
  return [
    result(`${what}, killed: median of ${TAKEOVERS}`, median(killed.times), 'ms', {
      atMost: isFile ? 30 : 50,
    }),
    result(`${what}, killed: slowest`, Math.max(...killed.times), 'ms', { atMost: 250 }),
    result(`${what}, stopped: median of ${TAKEOVERS}`, median(stopped.times), 'ms', { atMost: 50 }),
    result(`${what}, stopped: slowest`, Math.max(...stopped.times), 'ms'),
  ];
}
