import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createMaster } from '../src/index.js';
import { median, result, type Result } from './result.js';

const SUBSCRIBERS = 10_000;
const ROUNDS = 5;

interface Figures {
  readonly subscribeSeconds: number;
  readonly stopSeconds: number;
  readonly heldMB: number;
  readonly leftMB: number;
}

/** Ten thousand transient subscribers of one master, each with a pattern of its own; each round in a process of its own. */
export async function run(): Promise<Result[]> {
  const self = fileURLToPath(import.meta.url);
  const rounds = Array.from({ length: ROUNDS }, () => {
    const told = execFileSync(process.execPath, ['--expose-gc', self], { encoding: 'utf8' });
    return JSON.parse(told) as Figures;
  });
  const middle = (key: keyof Figures) => median(rounds.map((round) => round[key]));
  return [
    result(`${SUBSCRIBERS} subscribers subscribed`, middle('subscribeSeconds'), 's', { atMost: 2 }),
    result(`${SUBSCRIBERS} subscribers stopped`, middle('stopSeconds'), 's', { atMost: 2 }),
    result(`heap held by ${SUBSCRIBERS} subscribers`, middle('heldMB'), 'MB', { atMost: 100 }),
    result('heap left after they stopped', middle('leftMB'), 'MB'),
  ];
}

async function measure(): Promise<Figures> {
  const heap = () => {
    globalThis.gc!();
    return process.memoryUsage().heapUsed / 1e6;
  };
  const master = await createMaster({ name: 'bench', broker: 'memory:' });
  const before = heap();
  const begun = performance.now();
  const subscriptions = await Promise.all(
    Array.from({ length: SUBSCRIBERS }, (_, number) => master.subscribe(`builds.${number}.log`, () => {})),
  );
  const subscribed = performance.now();
  const heldMB = heap() - before;
  const stopping = performance.now();
  await Promise.all(subscriptions.map((subscription) => subscription.stop()));
  const stopped = performance.now();
  subscriptions.length = 0;
  const leftMB = heap() - before;
  await master.stop();
  return {
    subscribeSeconds: (subscribed - begun) / 1_000,
    stopSeconds: (stopped - stopping) / 1_000,
    heldMB,
    leftMB,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(await measure()));
