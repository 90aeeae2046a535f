import { runHub } from '../../src/backends/file/hub-process.js';
import { systemEnvironment } from '../../src/model/clock.js';

/** A hub as masters start it, but one that leaves at once when its last master has gone. */

const ending = new AbortController();
process.on('SIGTERM', () => ending.abort());
await runHub(process.argv[2]!, {
  environment: systemEnvironment,
  leaveAfterMs: 300,
  signal: ending.signal,
  started: () => process.send?.({ started: true }, undefined, undefined, () => process.disconnect?.()),
});
