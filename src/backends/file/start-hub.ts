import { fork } from 'node:child_process';
import { open } from 'node:fs/promises';
import { ConnectError } from '../../model/errors.js';
import { errorOf } from './error-words.js';
import type { Places } from './runtime-folder.js';

/**
 * A message lives in the hub for some milliseconds. With room for all that live at a time few are copied by the collector of
 * young objects, and that of all objects need not look for dead ones as long as they are few.
 */
const MEMORY: readonly string[] = ['--min-semi-space-size=16', '--initial-heap-size=128'];
/** What Node ends with if it does not know an option. */
const BAD_OPTION = 9;

/** Starts a hub that outlives this process. Resolves when masters can connect; rejects with what kept it from starting. */
export async function startHub(
  program: string,
  places: Places,
  signal: AbortSignal,
  options = MEMORY,
): Promise<void> {
  const log = await open(places.log, 'w', 0o600);
  try {
    const child = fork(program, [places.folder], {
      cwd: '/',
      detached: true,
      execArgv: [...options],
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
    });
    child.unref();
    const isStarted = await new Promise<boolean>((resolve, reject) => {
      const giveUp = () => reject(signal.reason as Error);
      signal.addEventListener('abort', giveUp, { once: true });
      child.once('message', (answer: { started?: true; error?: unknown }) => {
        if (answer.started) resolve(true);
        else reject(errorOf(answer.error));
      });
      child.once('error', reject);
      child.once('exit', (code, by) => {
        if (code === BAD_OPTION && options.length > 0) return resolve(false);
        reject(
          new ConnectError(
            `The hub of "${places.folder}" ended while it started (${by ?? code}): see ${places.log}.`,
          ),
        );
      });
    });
    // The options are V8's own: a later Node may not know them.
    if (!isStarted) return await startHub(program, places, signal, []);
    if (child.connected) child.disconnect();
  } finally {
    await log.close();
  }
}
