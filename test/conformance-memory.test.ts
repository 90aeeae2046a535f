import { describe, it } from 'vitest';
import { runConformance } from '../src/testing/conformance.js';
import { openMemoryBench } from './testing/memory-bench.js';

describe('memory:', async () => {
  await runConformance(openMemoryBench, (name, run, skipReason) => {
    it(skipReason === undefined ? name : `${name} (${skipReason})`, { skip: skipReason !== undefined }, run);
  });
});
