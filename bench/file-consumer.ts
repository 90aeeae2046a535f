import { createMaster } from '../src/index.js';

/** Handles what the benchmark publishes, and says when it has handled as many as it was told. */
const master = await createMaster({ name: 'consumer', broker: process.argv[2]! });
let left = 0;
const latencies: number[] = [];

await master.consume('bench', { bindings: ['bench.#'], prefetch: 256 }, ({ data }) => {
  const { at } = data as { at?: number };
  if (at !== undefined) latencies.push((Number(process.hrtime.bigint()) - at) / 1e6);
  if (--left === 0) process.send!(latencies.splice(0));
});
process.on('message', ({ count }: { count: number }) => {
  left += count;
  if (count === 0) void master.stop().then(() => process.disconnect());
});
process.send!('ready');
