import { test } from 'node:test';
import { runConformance } from '../../src/testing/index.js';
import { openMemoryBench } from './memory-bench.js';

/* The conformance suite under the test runner of Node's, as a program of its own. */

await runConformance(
  openMemoryBench,
  (name, run, skipReason) => void test(name, { skip: skipReason ?? false }, run),
);
