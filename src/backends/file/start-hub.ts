import { fork } from 'node:child_process';
import { open } from 'node:fs/promises';
import { ConnectError } from '../../model/errors.js';
import { errorOf } from './error-words.js';
import type { Places } from './runtime-folder.js';

/** Starts a hub that outlives this process. Resolves when masters can connect; rejects with what kept it from starting. */
export async function startHub(program: string, places: Places, signal: AbortSignal): Promise<void> {
  const log = await open(places.log, 'w', 0o600);
  try {
    const child = fork(program, [places.folder], {
      cwd: '/',
      detached: true,
      execArgv: [],
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
    });
    child.unref();
    await new Promise<void>((resolve, reject) => {
      const giveUp = () => reject(signal.reason as Error);
      signal.addEventListener('abort', giveUp, { once: true });
      child.once('message', (answer: { started?: true; error?: unknown }) => {
        if (answer.started) resolve();
        else reject(errorOf(answer.error));
      });
      child.once('error', reject);
      child.once('exit', (code, by) =>
        reject(
          new ConnectError(
            `The hub of "${places.folder}" ended while it started (${by ?? code}): see ${places.log}.`,
          ),
        ),
      );
    });
    if (child.connected) child.disconnect();
  } finally {
    await log.close();
  }
}
