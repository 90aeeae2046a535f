import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, it } from 'vitest';
import { fileBackend } from '../src/backends/file/index.js';
import { livingHub } from '../src/backends/file/hub-record.js';
import { RemoteSession } from '../src/backends/file/remote-session.js';
import { systemEnvironment } from '../src/model/clock.js';
import { runConformance, type Bench } from '../src/testing/conformance.js';
import { eventually } from './eventually.js';

const folder = mkdtempSync(join(tmpdir(), 'signalbox-conformance-'));
const hubProgram = join(import.meta.dirname, '../dist/src/backends/file/hub-program.js');
const backend = fileBackend(folder, { hubProgram });

async function openBench(): Promise<Bench> {
  return {
    name: backend.name,
    environment: systemEnvironment,
    ownerTimeoutMs: 3_000,
    patienceMs: 5_000,
    connect: async (options) => {
      const session = await backend.connect(options);
      assert(session instanceof RemoteSession);
      const crash = async () => {
        // What was said in an earlier turn is with the kernel, which delivers it after the death of the process.
        await new Promise(setImmediate);
        session.drop(new Error('The process has died.'));
      };
      return { session, crash };
    },
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms + 20)),
    leftovers: async () => [],
    close: async () => {},
  };
}

afterAll(async () => {
  const hub = await livingHub(folder);
  if (hub) process.kill(hub.pid, 'SIGTERM');
  await eventually('the hub has gone', async () => !(await livingHub(folder)));
  rmSync(folder, { recursive: true });
});

describe('file:', async () => {
  await runConformance(openBench, (name, run, skipReason) => {
    it(skipReason === undefined ? name : `${name} (${skipReason})`, { skip: skipReason !== undefined }, run);
  });
});
