#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { runHub } from './backends/file/hub-process.js';
import { systemEnvironment } from './model/clock.js';
import { toError } from './model/errors.js';

const USAGE = `signalbox hub FOLDER

Runs the hub of a folder in the foreground, for masters with broker "file:FOLDER". They start one by themselves where
none runs; this one stays when they have gone. Ctrl-C ends it.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { help: { type: 'boolean', short: 'h' } },
});
const [command, folder, ...rest] = positionals;
if (values['help'] === true) console.log(USAGE);
else if (command !== 'hub' || folder === undefined || rest.length > 0) {
  console.error(USAGE);
  process.exitCode = 2;
} else await hub(folder);

async function hub(path: string): Promise<void> {
  const ending = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => ending.abort());
  try {
    await runHub(path, {
      environment: systemEnvironment,
      leaveAfterMs: Infinity,
      signal: ending.signal,
      started: (real) => console.log(`The hub of ${real} runs as process ${process.pid}. Ctrl-C ends it.`),
    });
  } catch (error) {
    console.error(toError(error).message);
    process.exitCode = 1;
  }
}
