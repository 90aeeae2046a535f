import { createMaster } from '../src/index.js';
import { result, type Result } from './result.js';

const SUBSCRIBERS = 10_000;

/** Ten thousand transient subscribers of one master. Heap figures need `--expose-gc`, which the script gives itself. */
export async function run(): Promise<Result[]> {
  const { setFlagsFromString } = await import('node:v8');
  const { runInNewContext } = await import('node:vm');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = () => {
    collect();
    return process.memoryUsage().heapUsed / 1e6;
  };
  const master = await createMaster({ name: 'bench', broker: 'memory:' });
  const before = heap();
  const begun = performance.now();
  const starting = [];
  for (let number = 0; number < SUBSCRIBERS; number++)
    starting.push(master.subscribe(`builds.${number % 1_000}.log`, () => {}));
  const subscriptions = await Promise.all(starting);
  const subscribed = performance.now();
  const held = heap() - before;
  const stopping = performance.now();
  await Promise.all(subscriptions.map((subscription) => subscription.stop()));
  const stopped = performance.now();
  const left = heap() - before;
  await master.stop();
  return [
    result(`${SUBSCRIBERS} subscribers subscribed`, (subscribed - begun) / 1_000, 's', { atMost: 2 }),
    result(`${SUBSCRIBERS} subscribers stopped`, (stopped - stopping) / 1_000, 's', { atMost: 2 }),
    result(`heap held by ${SUBSCRIBERS} subscribers`, held, 'MB', { atMost: 100 }),
    result('heap left after they stopped', left, 'MB'),
  ];
}
