import { systemEnvironment } from '../../model/clock.js';
import { errorWord } from './error-words.js';
import { runHub } from './hub-process.js';

/** The program of a hub that masters start: told the folder, it tells whoever started it how that went. */

const LEAVES_AFTER_MS = 10_000;

const ending = new AbortController();
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => ending.abort());
process.title = 'signalbox-hub';

/** Whoever started it may have gone. */
function tell(answer: object): void {
  if (!process.connected) return;
  process.send?.(answer, undefined, undefined, () => process.connected && process.disconnect());
}

try {
  await runHub(process.argv[2]!, {
    environment: systemEnvironment,
    leaveAfterMs: LEAVES_AFTER_MS,
    signal: ending.signal,
    started: () => tell({ started: true }),
  });
} catch (error) {
  // Its error output is a file beside the socket.
  console.error(new Date().toISOString(), error);
  process.exitCode = 1;
  tell({ error: errorWord(error) });
}
