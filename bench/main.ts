import { parseArgs } from 'node:util';
import type { Result } from './result.js';

/** `npm run bench -- NAME [--json]`. Exit status 1 when a bound is not kept. */
const benches: Record<string, () => Promise<{ run(): Promise<Result[]> }>> = {
  topics: () => import('./topics.js'),
  memory: () => import('./memory.js'),
  scale: () => import('./scale.js'),
  lanes: () => import('./lanes.js'),
  failover: () => import('./failover.js'),
  soak: () => import('./soak.js'),
  file: () => import('./file.js'),
  amqp: () => import('./amqp/throughput.js'),
  'fanout-amqp': () => import('./amqp/fanout.js'),
  'failover-amqp': () => import('./amqp/failover.js'),
  jetstream: () => import('./jetstream/throughput.js'),
  'fanout-jetstream': () => import('./jetstream/fanout.js'),
  'failover-jetstream': () => import('./jetstream/failover.js'),
  'soak-schedulers': () => import('./soak-schedulers.js'),
  schedulers: () => import('./schedulers.js'),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  // Of one benchmark: it reads them itself.
  options: {
    json: { type: 'boolean' },
    broker: { type: 'string' },
    kills: { type: 'string' },
    rate: { type: 'string' },
    seed: { type: 'string' },
  },
});
const name = positionals[0] ?? '';
const load = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (!load) {
  console.error(`Which benchmark? One of: ${Object.keys(benches).join(', ')}.`);
  process.exitCode = 2;
} else {
  const results = await (await load()).run();
  for (const { what, value, unit, atLeast, atMost, met } of results) {
    const bound =
      atLeast !== undefined ? `at least ${atLeast}` : atMost !== undefined ? `at most ${atMost}` : '';
    console.log(`${met ? ' ' : '!'} ${what}: ${value} ${unit} ${bound && `(${bound})`}`);
  }
  if (values.json) console.log(JSON.stringify({ name, results }));
  if (!results.every(({ met }) => met)) process.exitCode = 1;
}
